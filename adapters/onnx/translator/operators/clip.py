"""Clip, with its limits as attributes (opset 6) or inputs (opset 11)."""

import torch
from torch import Tensor

from ..node import Node
from .values import together


def clip_attributes(node: Node, x: Tensor) -> Tensor:
    """Limits from the attributes min and max."""
    low, high = node.attributes.get("min"), node.attributes.get("max")
    if low is None and high is None:
        return x
    return torch.clamp(x, low, high)


def clip_inputs(_node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Limits from scalar inputs; the upper one wins when they cross."""
    if low is not None and low.numel():
        x, low = together(x, low)
        x = torch.clamp(x, min=low.reshape(()))
    if high is not None and high.numel():
        x, high = together(x, high)
        x = torch.clamp(x, max=high.reshape(()))
    return x
