"""Slice, Gather and Scatter in their variants."""

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .obstacle import Obstacle
from .values import ints

REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
"""What torch calls the ways in which several updates meet."""


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


def _along_table(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """Entries of a table, with the slope between their neighbours for an index that depends on the input."""
    if not index.is_floating_point():
        return gather(node, x, index)
    axis, last = node.integer("axis", 0) % max(x.dim(), 1), x.shape[node.integer("axis", 0)] - 1
    place = index.detach().round().long()
    place = torch.where(place < 0, place + last + 1, place)
    ends = [gather(node, x, (place + step).clamp(0, last)) for step in (-1, 0, 1)]
    shift = (index - index.detach()).reshape([1] * axis + list(index.shape) + [1] * (x.dim() - axis - 1))
    return ends[1] + shift * (ends[2] - ends[0]).detach() / 2


GATHER = Obstacle(gather, "", _along_table)


def _wrapped(x: Tensor, index: Tensor, axis: int) -> Tensor:
    index = index.long().to(x.device)
    return torch.where(index < 0, index + x.shape[axis], index)


def gather_elements(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """numpy.take_along_axis."""
    axis = node.integer("axis", 0)
    return torch.gather(x, axis, _wrapped(x, index, axis))


def gather_nd(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """Entries by index tuples in the last dimension of the index, for each entry of the leading batch dimensions."""
    shared = node.integer("batch_dims", 0)
    index = index.long().to(x.device)
    if not shared:
        return x[tuple(index.unbind(-1))]
    lead = index.shape[:shared]
    pieces, places = x.reshape(-1, *x.shape[shared:]), index.reshape(-1, *index.shape[shared:])
    row = torch.arange(pieces.shape[0], device=x.device).reshape(-1, *([1] * (places.dim() - 2)))
    found = pieces[(row, *places.unbind(-1))]
    return found.reshape(*lead, *found.shape[1:])


def scatter_elements(node: Node, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    """x with the updates written, or reduced, along one axis.

    Raises: UntranslatableError.
    """
    axis = node.integer("axis", 0)
    index = _wrapped(x, index, axis)
    reduction = node.text("reduction", "none")
    if reduction == "none":
        return x.scatter(axis, index, updates)
    if reduction not in REDUCTIONS:
        raise UntranslatableError(f"ScatterElements with the unknown reduction {reduction!r}")
    return x.scatter_reduce(axis, index, updates, REDUCTIONS[reduction])


def scatter_nd(node: Node, x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
    """x with the updates written, or reduced, at index tuples.

    Raises: UntranslatableError.
    """
    reduction = node.text("reduction", "none")
    places = tuple(index.long().to(x.device).unbind(-1))
    if reduction in ("none", "add"):
        return torch.index_put(x, places, updates, accumulate=reduction == "add")
    if reduction not in REDUCTIONS:
        raise UntranslatableError(f"ScatterND with the reduction {reduction!r}")
    line = torch.zeros((), dtype=torch.int64, device=x.device)
    for axis, place in enumerate(places):
        line = line * x.shape[axis] + torch.where(place < 0, place + x.shape[axis], place)
    rest = x.shape[len(places) :]
    rows, values = x.reshape(-1, rest.numel()), updates.reshape(-1, rest.numel())
    rows = rows.scatter_reduce(0, line.reshape(-1, 1).expand(values.shape), values, REDUCTIONS[reduction])
    return rows.reshape(x.shape)


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


def _soft_one_hot(node: Node, index: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    """A soft row around the index: its neighbours gain as the index moves towards them."""
    count = ints(depth)[0]
    axis = node.integer("axis", -1)
    axis = axis + index.dim() + 1 if axis < 0 else axis
    index = torch.where(index < 0, index + count, index).unsqueeze(axis)
    line = torch.arange(count, dtype=index.dtype, device=index.device)
    away = index - line.reshape(-1, *([1] * (index.dim() - 1 - axis)))
    values = values.to(index.device)
    return values[0] + torch.softmax(-away.square(), dim=axis) * (values[1] - values[0])


ONE_HOT = Obstacle(one_hot, "turns an index into a row, no gradient passes through the index", _soft_one_hot)
