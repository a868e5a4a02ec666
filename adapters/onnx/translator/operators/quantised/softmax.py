"""QLinearSoftmax."""

import math

import torch
from torch import Tensor

from ...node import Node
from .calculation import Calculation, quantising
from .levels import levels
from .lookups import real


def _quotients(x: Tensor, scale: Tensor, y_scale: Tensor, size: int) -> Tensor:
    """Shares of whole numbers along the last dimension in float32 steps of the output, as onnxruntime takes them.

    It raises e to (number - largest + shift) * scale, with a shift that fills the range of float32.
    """
    reserve = max(0.0, math.log(float(torch.finfo(torch.float32).max) / size) - 5.0)
    exponent = (x - x.amax(dim=-1, keepdim=True)).double() * scale.double() + reserve
    table = torch.exp(exponent).to(torch.float32)
    steps = torch.floor(1.0 / y_scale.float())
    return table * steps / table.sum(dim=-1, keepdim=True)


def _softmax(
    how: Calculation,
    node: Node,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor | None,
    y_scale: Tensor,
    y_zero: Tensor | None = None,
) -> Tensor:
    """Over one axis since opset 13 (an attribute), over the flattened rest before."""
    recent = node.integer("opset", 13) >= 13
    axis = node.integer("axis", -1 if recent else 1) % x.dim()
    rows = x.movedim(axis, -1) if recent else x.flatten(axis)
    offset, at = how.offset(node, y_zero, x), levels(node, 4, y_zero, x)
    if how.exact:
        steps = _quotients(rows.to(node.precision), x_scale.reshape(()), y_scale.reshape(()), rows.shape[-1])
    else:
        steps = torch.softmax(real(how, node, rows, x_scale, x_zero), dim=-1) / y_scale.reshape(())
    y = how.settled(steps, at, offset)
    return y.movedim(-1, axis) if recent else y.reshape(x.shape)


SOFTMAX = quantising(_softmax)
