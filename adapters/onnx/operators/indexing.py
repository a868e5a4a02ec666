"""Slice, Gather and Scatter in their variants."""

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import ints


def _sliced(x: Tensor, starts: list[int], ends: list[int], axes: list[int], steps: list[int]) -> Tensor:
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        first, last, stride = slice(start, end, step).indices(x.shape[axis])
        if stride > 0:
            x = x[(slice(None),) * (axis % x.dim()) + (slice(first, max(first, last), stride),)]
        else:
            x = x.index_select(axis, torch.arange(first, min(first, last), stride, device=x.device))
    return x


def slice_attributes(node: Node, x: Tensor) -> Tensor:
    """starts, ends and axes from attributes (opset 1)."""
    starts, ends = node.integers("starts") or [], node.integers("ends") or []
    axes = node.integers("axes")
    return _sliced(x, starts, ends, list(range(len(starts))) if axes is None else axes, [1] * len(starts))


def slice_inputs(
    _node: Node, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    """starts, ends, axes and steps from inputs (opset 10)."""
    first = ints(starts)
    chosen = list(range(len(first))) if axes is None else ints(axes)
    return _sliced(x, first, ints(ends), chosen, [1] * len(first) if steps is None else ints(steps))


def gather(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """Entries along one axis; the shape of the index takes the place of that axis."""
    axis = node.integer("axis", 0) % max(x.dim(), 1)
    if x.device.type == "cpu" and index.device.type != "cpu":
        x = x.to(index.device)
    return x[(slice(None),) * axis + (index.long(),)]


def _wrapped(x: Tensor, index: Tensor, axis: int) -> Tensor:
    index = index.long().to(x.device)
    return torch.where(index < 0, index + x.shape[axis], index)


def gather_elements(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """numpy.take_along_axis."""
    axis = node.integer("axis", 0)
    return torch.gather(x, axis, _wrapped(x, index, axis))


def gather_nd(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """Entries by index tuples in the last dimension of the index.

    Raises: UntranslatableError.
    """
    if node.integer("batch_dims", 0):
        raise UntranslatableError("GatherND with batch dimensions")
    return x[tuple(index.long().to(x.device).unbind(-1))]


def scatter_elements(node: Node, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    """x with the updates written, or reduced, along one axis.

    Raises: UntranslatableError.
    """
    axis = node.integer("axis", 0)
    index = _wrapped(x, index, axis)
    reduction = node.text("reduction", "none")
    if reduction == "none":
        return x.scatter(axis, index, updates)
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    if reduction not in names:
        raise UntranslatableError(f"ScatterElements with the unknown reduction {reduction!r}")
    return x.scatter_reduce(axis, index, updates, names[reduction])


def scatter_nd(node: Node, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    """x with the updates written, or added, at index tuples.

    Raises: UntranslatableError.
    """
    reduction = node.text("reduction", "none")
    if reduction not in ("none", "add"):
        raise UntranslatableError(f"ScatterND with the reduction {reduction!r}")
    places = tuple(index.long().to(x.device).unbind(-1))
    return torch.index_put(x, places, updates, accumulate=reduction == "add")


def one_hot(node: Node, index: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    """values[1] at the index along a new axis of size depth, values[0] elsewhere."""
    count = ints(depth)[0]
    axis = node.integer("axis", -1)
    axis = axis + index.dim() + 1 if axis < 0 else axis
    index = torch.where(index < 0, index + count, index).unsqueeze(axis)
    line = torch.arange(count, dtype=index.dtype, device=index.device)
    hot = index == line.reshape(-1, *([1] * (index.dim() - 1 - axis)))
    values = values.to(index.device)
    return torch.where(hot, values[1], values[0])
