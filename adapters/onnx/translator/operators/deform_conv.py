"""DeformConv: a convolution that reads its window at places that the data moves."""

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .sampling import sample
from .values import together
from .windows import window


def _places(node: Node, x: Tensor, weight: Tensor, offset: Tensor) -> list[Tensor]:
    """Pixel coordinates per axis, (N, offset groups, kernel positions, *output)."""
    kernel = list(weight.shape[2:])
    rank, taps = len(kernel), weight[0, 0].numel()
    at = window(node, kernel, list(x.shape[2:]))
    output = list(offset.shape[2:])
    moved = offset.reshape(offset.shape[0], -1, taps, rank, *output)
    result = []
    for axis in range(rank):
        step = torch.arange(kernel[axis], dtype=x.dtype, device=x.device) * at.dilation[axis]
        inner = step.reshape([-1 if place == axis else 1 for place in range(rank)]).expand(kernel).reshape(taps)
        outer = torch.arange(output[axis], dtype=x.dtype, device=x.device) * at.stride[axis] - at.begin[axis]
        outer = outer.reshape([-1 if place == axis else 1 for place in range(rank)])
        result.append(moved[:, :, :, axis] + inner.reshape(-1, *([1] * rank)) + outer)
    return result


def _columns(x: Tensor, places: list[Tensor], groups: int) -> Tensor:
    """(N, C, kernel positions, *output): what every window reads."""
    parts = x.chunk(groups, dim=1)
    read = [sample(part, [place[:, group] for place in places], "linear", "zeros") for group, part in enumerate(parts)]
    return torch.cat(read, dim=1)


def deform_conv(
    node: Node, x: Tensor, weight: Tensor, offset: Tensor, bias: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """Cross-correlation with one offset per window position, and a factor on each.

    Raises: UntranslatableError.
    """
    x, weight, offset = together(x, weight, offset)
    groups, regions = node.integer("group", 1), node.integer("offset_group", 1)
    taps = weight[0, 0].numel()
    if x.shape[1] % regions or offset.shape[1] != regions * taps * (x.dim() - 2):
        raise UntranslatableError(f"{node.key} with offsets of shape {tuple(offset.shape)}")
    columns = _columns(x, _places(node, x, weight, offset), regions)
    if mask is not None:
        factor = mask.reshape(mask.shape[0], regions, 1, taps, *mask.shape[2:]).to(x.device)
        split = columns.reshape(columns.shape[0], regions, -1, *columns.shape[2:])
        columns = (split * factor).reshape(columns.shape)
    n, out = columns.shape[0], weight.shape[0]
    left = weight.reshape(groups, out // groups, -1)
    right = columns.reshape(n, groups, left.shape[-1], -1)
    y = (left @ right).reshape(n, out, *columns.shape[3:])
    return y if bias is None else y + bias.reshape(-1, *([1] * (x.dim() - 2)))
