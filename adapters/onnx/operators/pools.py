"""MaxPool, AveragePool and the global pools."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError
from .windows import Window, torch_pads, window

_MAX: dict[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
_AVERAGE: dict[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}
_SUM: dict[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}


def _overhang(at: Window, spatial: list[int], ceil: bool) -> list[int]:
    """Pixels beyond the padding that the last window needs; negative never.

    In ceil mode a window that would start behind the input and its left padding is dropped.
    """
    result = []
    for axis, size in enumerate(spatial):
        room = size + at.begin[axis] + at.end[axis] - at.span(axis)
        step = at.stride[axis]
        last = -(-room // step) if ceil else room // step
        if ceil and last * step >= size + at.begin[axis]:
            last -= 1
        result.append(max(last * step - room, 0))
    return result


def _pooled(node: Node, x: Tensor, table: dict[int, Callable[..., Tensor]]) -> tuple[Callable[..., Tensor], Window]:
    kernel = node.integers("kernel_shape") or []
    function = table.get(len(kernel))
    if function is None:
        raise UntranslatableError(f"{node.key} over {len(kernel)} dimensions")
    return function, window(node, kernel, list(x.shape[2:]))


def max_pool(node: Node, x: Tensor) -> Tensor:
    """Largest value of each window; padding never wins.

    Raises: UntranslatableError.
    """
    if not x.is_floating_point():
        raise UntranslatableError("MaxPool over integers")
    function, at = _pooled(node, x, _MAX)
    ceil = bool(node.integer("ceil_mode", 0))
    if not ceil and at.symmetric and all(2 * pad <= k for pad, k in zip(at.begin, at.kernel, strict=True)):
        return function(x, at.kernel, at.stride, at.begin, at.dilation)
    extra = _overhang(at, list(x.shape[2:]), ceil)
    end = [pad + more for pad, more in zip(at.end, extra, strict=True)]
    x = functional.pad(x, torch_pads(at.begin, end), value=float("-inf"))
    return function(x, at.kernel, at.stride, 0, at.dilation)


def _average(x: Tensor, at: Window) -> Tensor:
    """Mean over unpadded windows; dilated ones go through a convolution with ones."""
    rank = len(at.kernel)
    if max(at.dilation) == 1:
        return _AVERAGE[rank](x, at.kernel, at.stride)
    lead = x.shape[:2]
    ones = torch.ones((1, 1, *at.kernel), dtype=x.dtype, device=x.device)
    flat = x.reshape(lead[0] * lead[1], 1, *x.shape[2:])
    total = _SUM[rank](flat, ones, None, at.stride, 0, at.dilation)
    return total.reshape(*lead, *total.shape[2:]) / ones.numel()


def average_pool(node: Node, x: Tensor) -> Tensor:
    """Mean of each window; padding counts only with count_include_pad, what lies behind it never."""
    _, at = _pooled(node, x, _AVERAGE)
    spatial = list(x.shape[2:])
    extra = _overhang(at, spatial, bool(node.integer("ceil_mode", 0)))
    if not (any(at.begin) or any(at.end) or any(extra)):
        return _average(x, at)
    include = bool(node.integer("count_include_pad", 0))
    end = [pad + more for pad, more in zip(at.end, extra, strict=True)]
    mean = _average(functional.pad(x, torch_pads(at.begin, end)), at)
    if include and not any(extra):
        return mean
    counted = [1, 1, *spatial]
    if include:
        counted = [1, 1, *(size + a + b for size, a, b in zip(spatial, at.begin, at.end, strict=True))]
    ones = torch.ones(counted, dtype=x.dtype, device=x.device)
    border = torch_pads([0] * len(extra), extra) if include else torch_pads(at.begin, end)
    return mean / _average(functional.pad(ones, border), at)


def global_average_pool(_node: Node, x: Tensor) -> Tensor:
    """Mean over all spatial positions, kept as size 1."""
    return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


def global_max_pool(_node: Node, x: Tensor) -> Tensor:
    """Largest value over all spatial positions, kept as size 1."""
    return x.amax(dim=tuple(range(2, x.dim())), keepdim=True)
