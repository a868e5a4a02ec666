"""Inverse, ExpandDims, GridSample, and the transposed convolution whose padding is an input."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from ...node import Node, UntranslatableError
from ..conv_transpose import conv_transpose
from ..values import ints

_MODES = ("bilinear", "nearest", "bicubic")
_BORDERS = ("zeros", "border", "reflection")


def inverse(_node: Node, x: Tensor) -> Tensor:
    """The inverse of every matrix in the last two dimensions."""
    found: Tensor = torch.linalg.inv(x)
    return found


def expand_dims(_node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """With one more dimension of size 1."""
    return x.unsqueeze(ints(axis)[0])


def grid_sample(node: Node, x: Tensor, grid: Tensor) -> Tensor:
    """Pixels of (N, C, H, W) at the places of the grid (N, H, W, 2), whose ends are -1 and 1.

    Raises: UntranslatableError.
    """
    mode, border = node.text("mode", "bilinear"), node.text("padding_mode", "zeros")
    if mode not in _MODES or border not in _BORDERS or x.dim() != 4:
        raise UntranslatableError(f"{node.key} in mode {mode!r} with the border {border!r}")
    align = bool(node.integer("align_corners", 0))
    return functional.grid_sample(x, grid, mode, border, align)


def conv_transpose_dynamic(
    node: Node, x: Tensor, weight: Tensor, pads: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """ConvTranspose with `pads` from an input.

    Raises: UntranslatableError.
    """
    if pads is not None:
        node = replace(node, attributes=node.attributes | {"pads": ints(pads)})
    return conv_transpose(node, x, weight, bias)
