"""Conv in one, two and three dimensions."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError
from .windows import torch_pads, window

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}


def conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Cross-correlation of (N, C, *spatial) with groups, strides, dilations and any padding.

    Raises: UntranslatableError.
    """
    rank = weight.dim() - 2
    convolve = _CONVOLUTIONS.get(rank)
    if convolve is None:
        raise UntranslatableError(f"Conv over {rank} dimensions")
    at = window(node, list(weight.shape[2:]), list(x.shape[2:]))
    padding = at.begin
    if not at.symmetric:
        x, padding = functional.pad(x, torch_pads(at.begin, at.end)), [0] * rank
    return convolve(x, weight, bias, at.stride, padding, at.dilation, node.integer("group", 1))
