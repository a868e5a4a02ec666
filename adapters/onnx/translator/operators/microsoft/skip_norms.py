"""Layer normalisations of a sum: input, skip connection and bias."""

import torch
from torch import Tensor
from torch.nn import functional

from ...node import Node, UntranslatableError


def _sum(node: Node, x: Tensor, skip: Tensor, bias: Tensor | None) -> Tensor:
    if len(node.outputs) > 1 and any(node.outputs[1:3]):
        raise UntranslatableError(f"{node.key} with its mean and inverse deviation used")
    total = x + skip
    return total if bias is None else total + bias


def _answer(node: Node, y: Tensor, total: Tensor) -> Tensor | tuple[Tensor, ...]:
    return (y, y, y, total) if len(node.outputs) > 3 else y


def skip_layer_norm(
    node: Node, x: Tensor, skip: Tensor, scale: Tensor, shift: Tensor | None = None, bias: Tensor | None = None
) -> Tensor | tuple[Tensor, ...]:
    """LayerNormalization of x + skip + bias over the last dimension; the fourth output is that sum.

    Raises: UntranslatableError.
    """
    total = _sum(node, x, skip, bias)
    y = functional.layer_norm(total, total.shape[-1:], None, None, node.number("epsilon", 1e-12)) * scale
    return _answer(node, y if shift is None else y + shift, total)


def skip_rms_norm(
    node: Node, x: Tensor, skip: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor | tuple[Tensor, ...]:
    """(x + skip + bias) over its root mean square, along the last dimension; the fourth output is that sum.

    Raises: UntranslatableError.
    """
    total = _sum(node, x, skip, bias)
    square = total.square().mean(-1, keepdim=True)
    return _answer(node, total * torch.rsqrt(square + node.number("epsilon", 1e-12)) * scale, total)


def simplified_layer_norm(node: Node, x: Tensor, scale: Tensor) -> Tensor | tuple[Tensor, ...]:
    """x / sqrt(mean(x^2) + epsilon) * scale over all dimensions from `axis` on, and the inverse deviation."""
    axes = tuple(range(node.integer("axis", -1) % x.dim(), x.dim()))
    inverse = torch.rsqrt(x.square().mean(dim=axes, keepdim=True) + node.number("epsilon", 1e-5))
    return x * inverse * scale, inverse
