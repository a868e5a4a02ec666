"""Quantisation with a scale taken from the data: DynamicQuantizeLinear and DynamicQuantizeMatMul."""

import torch
from torch import Tensor

from ...node import Node
from .calculation import Calculation, quantising
from .levels import Levels
from .products import to_float

_BYTE = Levels(0, 255, torch.uint8)


def _dynamic(how: Calculation, _node: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x as uint8, its scale and its zero point from its smallest and largest number; only x has a gradient."""
    still = x.detach()
    low, high = still.amin().clamp(max=0.0), still.amax().clamp(min=0.0)
    scale = torch.where(high == low, torch.ones_like(low), (high - low) / 255.0)
    zero = torch.round(torch.clamp(0.0 - low / scale, 0.0, 255.0))
    if how.exact:
        return how.settled(still / scale, _BYTE, zero), scale, zero.to(torch.uint8)
    # nothing lies outside a range that the data itself gives
    return x / scale + zero, scale, zero


def _dynamic_matmul(
    how: Calculation,
    node: Node,
    a: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    y, scale, zero = _dynamic(how, node, a)
    return to_float(how, node, y, b, scale, b_scale, zero, b_zero, bias)


DYNAMIC_QUANTIZE = quantising(_dynamic)
DYNAMIC_QUANTIZE_MATMUL = quantising(_dynamic_matmul)
