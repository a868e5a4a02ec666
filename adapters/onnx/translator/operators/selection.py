"""Compress, NonZero, Unique: how many entries remain depends on the data. ReverseSequence, TensorScatter, EyeLike."""

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .obstacle import SORTS, Obstacle


def compress(node: Node, x: Tensor, condition: Tensor) -> Tensor:
    """Entries along `axis`, or of the flattened input, where the condition holds; the rest is dropped."""
    axis = node.attributes.get("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    (kept,) = torch.nonzero(condition.reshape(-1).to(x.device) != 0, as_tuple=True)
    return x.index_select(int(axis), kept)


def non_zero(_node: Node, x: Tensor) -> Tensor:
    """(rank, count) indices of the entries that are not zero; a scalar counts as a vector."""
    return torch.nonzero(x if x.dim() else x.reshape(1)).T.contiguous()


def _first_places(inverse: Tensor, count: int) -> Tensor:
    """Where each distinct entry occurs first."""
    places = torch.arange(inverse.numel(), device=inverse.device)
    empty = torch.full((count,), inverse.numel(), dtype=places.dtype, device=inverse.device)
    return empty.scatter_reduce(0, inverse, places, "amin")


def unique(node: Node, x: Tensor) -> tuple[Tensor, ...]:
    """Distinct entries or slices, where each occurs first, which one each input is, and how often."""
    axis = node.attributes.get("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    exact = x.detach()
    _, inverse, counts = torch.unique(exact, sorted=True, return_inverse=True, return_counts=True, dim=int(axis))
    inverse = inverse.reshape(-1)
    first = _first_places(inverse, counts.numel())
    if not node.integer("sorted", 1):
        order = torch.argsort(first)
        place = torch.empty_like(order).scatter(0, order, torch.arange(order.numel(), device=order.device))
        first, counts, inverse = first[order], counts[order], place[inverse]
    return x.index_select(int(axis), first), first, inverse, counts


def reverse_sequence(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    """The first `length` steps of every sequence in reverse order, the others in place."""
    batch, time = node.integer("batch_axis", 1) % x.dim(), node.integer("time_axis", 0) % x.dim()
    size = [x.shape[axis] if axis in (batch, time) else 1 for axis in range(x.dim())]
    step = torch.arange(x.shape[time], device=x.device)
    step = step.reshape([-1 if axis == time else 1 for axis in range(x.dim())])
    length = lengths.long().to(x.device).reshape([-1 if axis == batch else 1 for axis in range(x.dim())])
    index = torch.where(step < length, length - 1 - step, step).expand(size)
    return torch.gather(x, time, index.expand(x.shape))


def tensor_scatter(node: Node, cache: Tensor, update: Tensor, start: Tensor | None = None) -> Tensor:
    """The cache with the update written from each sample's own place on.

    Raises: UntranslatableError.
    """
    mode, axis = node.text("mode", "linear"), node.integer("axis", -2) % cache.dim()
    if mode not in ("linear", "circular") or not axis:
        raise UntranslatableError(f"{node.key} in the mode {mode!r} along axis {axis}")
    step = torch.arange(update.shape[axis], device=cache.device)
    step = step.reshape([-1 if place == axis else 1 for place in range(cache.dim())])
    if start is not None:
        step = step + start.long().to(cache.device).reshape(-1, *([1] * (cache.dim() - 1)))
    if mode == "circular":
        step = torch.remainder(step, cache.shape[axis])
    return cache.scatter(axis, step.expand(update.shape), update)


def eye_like(node: Node, x: Tensor) -> Tensor:
    """Ones on the k-th diagonal of a matrix of the input's shape.

    Raises: UntranslatableError.
    """
    if x.dim() != 2:
        raise UntranslatableError(f"EyeLike of {x.dim()} dimensions")
    code = node.attributes.get("dtype")
    dtype = x.dtype if code is None else node.dtype(int(code))
    row = torch.arange(x.shape[0], device=x.device)[:, None]
    column = torch.arange(x.shape[1], device=x.device)
    return (column - row == node.integer("k", 0)).to(dtype)


COMPRESS = Obstacle(compress, "drops what a condition rules out, no gradient passes through the condition", compress)
NON_ZERO = Obstacle(non_zero, SORTS, None)
UNIQUE = Obstacle(unique, SORTS, unique)
