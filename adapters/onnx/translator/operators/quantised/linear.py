"""QuantizeLinear and DequantizeLinear, of the standard domain and of com.microsoft."""

import torch
from torch import Tensor

from ...node import Node, UntranslatableError
from ..values import present, together
from .calculation import Calculation, quantising
from .levels import levels, of_code, spread


def _scale(node: Node, scale: Tensor, x: Tensor) -> Tensor:
    if not scale.is_floating_point():
        raise UntranslatableError(f"{node.key} with a scale of whole numbers")
    return spread(node, scale.detach(), x)


def _quantize(how: Calculation, node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """x / scale + zero point; no gradient passes through a scale."""
    zero = zero if zero is not None and present(zero) else None
    asked = node.integer("output_dtype", 0)
    at = levels(node, 2, zero) if zero is not None or not asked else of_code(node, asked)
    x, scale = together(x, _scale(node, scale, x))
    offset = torch.zeros_like(scale) if zero is None else spread(node, zero.detach(), x).to(x.device, scale.dtype)
    return how.settled(x.to(scale.dtype) / scale, at, offset)


def dequantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """(x - zero point) * scale, on whole numbers and on floats that stand for them; no gradient passes the scale.

    Raises: UntranslatableError.
    """
    asked = node.integer("output_dtype", 0)
    if asked and not node.dtype(asked).is_floating_point:
        raise UntranslatableError(f"{node.key} to whole numbers")
    x, scale = together(x, _scale(node, scale, x))
    kind = scale.dtype if x.is_floating_point() else torch.int32
    x = x.to(kind)
    if zero is not None and present(zero):
        x = x - spread(node, zero.detach(), x).to(x.device, kind)
    return x.to(scale.dtype) * scale


QUANTIZE = quantising(_quantize)
