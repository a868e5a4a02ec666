"""Element-wise activations with attributes."""

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError
from .values import together

_ROUNDING = 1e-7
"""Of 1 / 6 in float32."""


def leaky_relu(node: Node, x: Tensor) -> Tensor:
    """x, or alpha x below zero."""
    return functional.leaky_relu(x, node.number("alpha", 0.01))


def prelu(_node: Node, x: Tensor, slope: Tensor) -> Tensor:
    """x, or slope * x below zero; the slope broadcasts as numpy does."""
    x, slope = together(x, slope)
    return torch.where(x < 0, x * slope, x)


def elu(node: Node, x: Tensor) -> Tensor:
    """x, or alpha (exp(x) - 1) below zero."""
    return functional.elu(x, node.number("alpha", 1.0))


def celu(node: Node, x: Tensor) -> Tensor:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    return functional.celu(x, node.number("alpha", 1.0))


def selu(node: Node, x: Tensor) -> Tensor:
    """gamma x, or gamma (alpha exp(x) - alpha) below zero."""
    alpha = node.number("alpha", 1.67326319217681884765625)
    return node.number("gamma", 1.05070102214813232421875) * functional.elu(x, alpha)


def hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    """alpha x + beta, clipped to [0, 1]."""
    if abs(node.number("alpha", 0.2) - 1 / 6) < _ROUNDING and node.number("beta", 0.5) == 0.5:
        return functional.hardsigmoid(x)
    return torch.clamp(x * node.number("alpha", 0.2) + node.number("beta", 0.5), 0.0, 1.0)


def hard_swish(_node: Node, x: Tensor) -> Tensor:
    """x times clip(x / 6 + 1 / 2, 0, 1)."""
    return functional.hardswish(x)


def thresholded_relu(node: Node, x: Tensor) -> Tensor:
    """x above alpha, else 0."""
    return torch.where(x > node.number("alpha", 1.0), x, torch.zeros_like(x))


def shrink(node: Node, x: Tensor) -> Tensor:
    """Towards zero by bias outside [-lambd, lambd], zero inside."""
    bias, limit = node.number("bias", 0.0), node.number("lambd", 0.5)
    zero = torch.zeros_like(x)
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, zero))


def swish(node: Node, x: Tensor) -> Tensor:
    """x sigmoid(alpha x)."""
    return x * torch.sigmoid(x * node.number("alpha", 1.0))


def swiglu(node: Node, gate: Tensor, value: Tensor) -> Tensor:
    """Swish of the gate, times the value."""
    gate, value = together(gate, value)
    return swish(node, gate) * value


def softplus(_node: Node, x: Tensor) -> Tensor:
    """log(1 + exp(x)) without overflow."""
    return torch.logaddexp(x, torch.zeros_like(x))


def gelu(node: Node, x: Tensor) -> Tensor:
    """x Phi(x), exact or by tanh.

    Raises: UntranslatableError.
    """
    approximate = node.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise UntranslatableError(f"Gelu has the unknown approximation {approximate!r}")
    return functional.gelu(x, approximate=approximate)
