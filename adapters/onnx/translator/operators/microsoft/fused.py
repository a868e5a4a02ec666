"""Convolutions and products with the activation behind them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ...node import Node, UntranslatableError
from ..conv import conv
from ..matmul import gemm

_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
}
_OF_CONV: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "LeakyRelu": (1, lambda x, alpha: functional.leaky_relu(x, alpha)),
    "Clip": (2, lambda x, low, high: torch.clamp(x, low, high)),
    "HardSigmoid": (2, lambda x, alpha, beta: torch.clamp(x * alpha + beta, 0.0, 1.0)),
}
_OF_GEMM: dict[str, tuple[tuple[str, ...], Callable[..., Tensor]]] = {
    "Elu": (("alpha",), lambda x, alpha: functional.elu(x, alpha)),
    "Celu": (("alpha",), lambda x, alpha: functional.celu(x, alpha)),
    "HardSigmoid": (("alpha", "beta"), lambda x, alpha, beta: torch.clamp(x * alpha + beta, 0.0, 1.0)),
    "LeakyRelu": (("alpha",), lambda x, alpha: functional.leaky_relu(x, alpha)),
    "Selu": (("alpha", "gamma"), lambda x, alpha, gamma: gamma * functional.elu(x, alpha)),
    "Softplus": ((), lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "Softsign": ((), functional.softsign),
    "ThresholdedRelu": (("alpha",), lambda x, alpha: torch.where(x > alpha, x, torch.zeros_like(x))),
}


def _unknown(node: Node, name: str) -> UntranslatableError:
    return UntranslatableError(f"{node.key} with the activation {name!r}")


def fused_conv(
    node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None, addend: Tensor | None = None
) -> Tensor:
    """activation(Conv(x) + addend).

    Raises: UntranslatableError.
    """
    y = conv(node, x, weight, bias)
    if addend is not None:
        y = y + addend
    name = node.text("activation", "")
    if not name:
        return y
    if name in _PLAIN:
        return _PLAIN[name](y)
    if name == "HardSwish":
        return y * torch.clamp(y / 6.0 + 0.5, 0.0, 1.0)
    values = node.numbers("activation_params") or []
    if name not in _OF_CONV or len(values) != _OF_CONV[name][0]:
        raise _unknown(node, name)
    return _OF_CONV[name][1](y, *values)


def fused_gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """activation(alpha a b + beta c).

    Raises: UntranslatableError.
    """
    name = node.text("activation", "")
    y = gemm(node, a, b, c)
    if name in _PLAIN:
        return _PLAIN[name](y)
    if name not in _OF_GEMM:
        raise _unknown(node, name)
    keys = [f"activation_{key}" for key in _OF_GEMM[name][0]]
    if any(key not in node.attributes for key in keys):
        raise _unknown(node, name)
    return _OF_GEMM[name][1](y, *(node.number(key, 0.0) for key in keys))
