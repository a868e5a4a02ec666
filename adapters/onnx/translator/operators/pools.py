"""MaxPool, AveragePool and the global pools."""

import math
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


def overhang(at: Window, spatial: list[int], ceil: bool) -> list[int]:
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


def pool_window(node: Node, x: Tensor) -> Window:
    """The windows of a pool over x.

    Raises: UntranslatableError.
    """
    spatial = list(x.shape[2:])
    at = window(node, node.integers("kernel_shape") or [], spatial)
    left = [
        size - (-(-size // step) - 1) * step - at.span(axis)
        for axis, (size, step) in enumerate(zip(spatial, at.stride, strict=True))
    ]
    if node.text("auto_pad", "NOTSET").startswith("SAME") and max(left, default=0) > 0:
        # onnxruntime pads by a negative number there
        raise UntranslatableError(f"{node.key} with auto_pad and strides beyond its windows")
    return at


def _pooled(node: Node, x: Tensor, table: dict[int, Callable[..., Tensor]]) -> tuple[Callable[..., Tensor], Window]:
    kernel = node.integers("kernel_shape") or []
    function = table.get(len(kernel))
    if function is None:
        raise UntranslatableError(f"{node.key} over {len(kernel)} dimensions")
    return function, pool_window(node, x)


def max_pool(node: Node, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Largest value of each window, and on demand its place in the whole input; padding never wins.

    Raises: UntranslatableError.
    """
    if not x.is_floating_point():
        if torch.iinfo(x.dtype).bits > 8 or len(node.outputs) > 1:
            raise UntranslatableError(f"MaxPool over {x.dtype}")
        return torch.as_tensor(max_pool(node, x.to(node.precision))).to(x.dtype)
    function, at = _pooled(node, x, _MAX)
    ceil = bool(node.integer("ceil_mode", 0))
    wanted = len(node.outputs) > 1
    small = at.symmetric and all(2 * pad <= k for pad, k in zip(at.begin, at.kernel, strict=True))
    if not ceil and small and not wanted:
        return function(x, at.kernel, at.stride, at.begin, at.dilation)
    extra = overhang(at, list(x.shape[2:]), ceil)
    end = [pad + more for pad, more in zip(at.end, extra, strict=True)]
    padded = functional.pad(x, torch_pads(at.begin, end), value=float("-inf"))
    if not wanted:
        return function(padded, at.kernel, at.stride, 0, at.dilation)
    y, index = function(padded, at.kernel, at.stride, 0, at.dilation, return_indices=True)
    return y, _places(index, x, at, list(padded.shape[2:]), columns=bool(node.integer("storage_order", 0)))


def _places(index: Tensor, x: Tensor, at: Window, padded: list[int], *, columns: bool) -> Tensor:
    """Places in one padded channel as places in the whole unpadded input, by rows or by columns."""
    spatial, coordinates = list(x.shape[2:]), []
    for axis in reversed(range(len(padded))):
        coordinates.append(index % padded[axis] - at.begin[axis])
        index = torch.div(index, padded[axis], rounding_mode="floor")
    order = list(zip(reversed(coordinates), spatial, strict=True))
    place = torch.zeros_like(index)
    for coordinate, size in reversed(order) if columns else order:
        place = place * size + coordinate
    channel = torch.arange(x.shape[0] * x.shape[1], device=x.device).reshape(*x.shape[:2], *([1] * len(spatial)))
    return place + channel * math.prod(spatial)


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
    extra = overhang(at, spatial, bool(node.integer("ceil_mode", 0)))
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


def lp_pool(node: Node, x: Tensor) -> Tensor:
    """p-norm of each window; padding counts as zero."""
    _, at = _pooled(node, x, _AVERAGE)
    extra = overhang(at, list(x.shape[2:]), bool(node.integer("ceil_mode", 0)))
    end = [pad + more for pad, more in zip(at.end, extra, strict=True)]
    power = node.integer("p", 2)
    padded = functional.pad(x.abs() ** power, torch_pads(at.begin, end))
    return _root(_average(padded, at) * math.prod(at.kernel), power)


def _root(total: Tensor, power: int) -> Tensor:
    """The p-th root, with the gradient zero at zero."""
    positive = total > 0
    return torch.where(positive, torch.where(positive, total, torch.ones_like(total)) ** (1 / power), total)


def global_lp_pool(node: Node, x: Tensor) -> Tensor:
    """p-norm over all spatial positions, kept as size 1."""
    power = node.integer("p", 2)
    return _root((x.abs() ** power).sum(dim=tuple(range(2, x.dim())), keepdim=True), power)


def global_average_pool(_node: Node, x: Tensor) -> Tensor:
    """Mean over all spatial positions, kept as size 1."""
    return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


def global_max_pool(_node: Node, x: Tensor) -> Tensor:
    """Largest value over all spatial positions, kept as size 1."""
    return x.amax(dim=tuple(range(2, x.dim())), keepdim=True)
