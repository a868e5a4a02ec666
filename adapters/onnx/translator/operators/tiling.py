"""Col2Im, CenterCropPad and MaxUnpool: pieces put back where they came from."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError
from .joins import check_size
from .values import ints
from .windows import torch_pads

_FOLDS: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def col2im(node: Node, x: Tensor, image_shape: Tensor, block_shape: Tensor) -> Tensor:
    """(N, C * block, windows) to (N, C, *image): overlapping windows add up.

    Raises: UntranslatableError.
    """
    image, kernel = ints(image_shape), ints(block_shape)
    rank, fold = len(image), _FOLDS.get(len(image))
    if fold is None or not x.is_floating_point():
        raise UntranslatableError(f"Col2Im over {rank} dimensions of {x.dtype}")
    check_size(node, image)
    stride, dilation = node.integers("strides") or [1] * rank, node.integers("dilations") or [1] * rank
    pads = node.integers("pads") or [0] * (2 * rank)
    padded = [size + a + b for size, a, b in zip(image, pads[:rank], pads[rank:], strict=True)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    windows = [(size - span) // step + 1 for size, span, step in zip(padded, spans, stride, strict=True)]
    taps = math.prod(kernel)
    pieces = x.reshape(x.shape[0] * (x.shape[1] // taps), taps, *windows)
    one_hot = torch.eye(taps, dtype=x.dtype, device=x.device).reshape(taps, 1, *kernel)
    y = fold(pieces, one_hot, None, stride, 0, 0, 1, dilation)
    begin = [-size for size in pads[:rank]]
    end = [size + before - made for size, before, made in zip(image, pads[:rank], y.shape[2:], strict=True)]
    y = functional.pad(y, torch_pads(begin, end))
    return y.reshape(x.shape[0], x.shape[1] // taps, *image)


def center_crop_pad(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """Cut, or filled up with zeros, around the middle to the given sizes."""
    sizes = ints(shape)
    check_size(node, sizes)
    for axis, size in zip(node.integers("axes") or range(x.dim()), sizes, strict=True):
        axis, length = axis % x.dim(), x.shape[axis]
        if size <= length:
            x = x.narrow(axis, (length - size) // 2, size)
            continue
        before = (size - length) // 2
        missing = [list(x.shape), list(x.shape)]
        missing[0][axis], missing[1][axis] = before, size - length - before
        zeros = [torch.zeros(part, dtype=x.dtype, device=x.device) for part in missing]
        x = torch.cat([zeros[0], x, zeros[1]], dim=axis)
    return x


def max_unpool(node: Node, x: Tensor, index: Tensor, output_shape: Tensor | None = None) -> Tensor:
    """Every value at the place in the whole output that the index names, zeros elsewhere.

    Raises: UntranslatableError.
    """
    kernel = node.integers("kernel_shape") or []
    stride, pads = node.integers("strides") or [1] * len(kernel), node.integers("pads") or [0] * (2 * len(kernel))
    sizes = [
        (size - 1) * step - before - after + k
        for size, step, before, after, k in zip(
            x.shape[2:], stride, pads[: len(kernel)], pads[len(kernel) :], kernel, strict=True
        )
    ]
    target = [*x.shape[:2], *sizes]
    if output_shape is not None and ints(output_shape) != target:
        raise UntranslatableError(f"MaxUnpool to {ints(output_shape)} of indices into {target}")
    check_size(node, target)
    empty = torch.zeros(math.prod(target), dtype=x.dtype, device=x.device)
    return empty.scatter(0, index.reshape(-1).long().to(x.device), x.reshape(-1)).reshape(target)
