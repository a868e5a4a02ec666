"""QLinearAveragePool, QLinearGlobalAveragePool and NhwcMaxPool."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ...node import Node
from ..pools import max_pool, overhang, pool_window
from ..windows import Window, torch_pads
from .calculation import Calculation, quantising
from .levels import levels
from .lookups import real


def _window_means(node: Node, x: Tensor) -> Tensor:
    """Sums of windows over their number of pixels; over all of the kernel where padding counts, as onnxruntime does."""
    at, spatial = pool_window(node, x), list(x.shape[2:])
    extra = overhang(at, spatial, bool(node.integer("ceil_mode", 0)))
    pads = torch_pads(at.begin, [pad + more for pad, more in zip(at.end, extra, strict=True)])
    total = _sums(functional.pad(x, pads), at)
    if node.integer("count_include_pad", 0):
        return total / math.prod(at.kernel)
    ones = torch.ones([1, 1, *spatial], dtype=x.dtype, device=x.device)
    return total / _sums(functional.pad(ones, pads), at)


def _sums(x: Tensor, at: Window) -> Tensor:
    if len(at.kernel) == 3:
        return functional.avg_pool3d(x, at.kernel, at.stride, divisor_override=1)
    if len(at.kernel) == 2:
        return functional.avg_pool2d(x, at.kernel, at.stride, divisor_override=1)
    return functional.avg_pool2d(x.unsqueeze(2), [1, *at.kernel], [1, *at.stride], divisor_override=1).squeeze(2)


def _average(
    how: Calculation,
    node: Node,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor | None,
    y_scale: Tensor,
    y_zero: Tensor | None = None,
) -> Tensor:
    """The mean of the floats that the numbers stand for."""
    last = bool(node.integer("channels_last", 0))
    x = x.movedim(-1, 1) if last else x
    mean = _window_means(node, real(how, node, x, x_scale, x_zero))
    y = how.settled(mean / y_scale.reshape(()) + how.offset(node, y_zero, x), levels(node, 4, y_zero, x))
    return y.movedim(1, -1) if last else y


def _global_average(
    how: Calculation,
    node: Node,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor | None,
    y_scale: Tensor,
    y_zero: Tensor | None = None,
) -> Tensor:
    """The sum of whole numbers, scaled once."""
    last = bool(node.integer("channels_last", 0))
    dims = tuple(range(1, x.dim() - 1)) if last else tuple(range(2, x.dim()))
    count = math.prod(x.shape[dim] for dim in dims)
    centred = how.centred(node, x, None if x_zero is None else x_zero.reshape(()))
    total = centred.to(torch.float64).sum(dim=dims, keepdim=True).to(node.precision)
    factor = x_scale.reshape(()) / (y_scale.reshape(()) * count)
    return how.settled(total * factor, levels(node, 4, y_zero, x), how.offset(node, y_zero, x))


def nhwc_max_pool(node: Node, x: Tensor) -> Tensor:
    """MaxPool with the channels last."""
    return torch.as_tensor(max_pool(node, x.movedim(-1, 1))).movedim(1, -1)


AVERAGE = quantising(_average)
GLOBAL_AVERAGE = quantising(_global_average)
