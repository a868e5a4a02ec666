"""Concat, Split, Expand, Tile: pieces put together and taken apart."""

import math

import numpy as np
import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import ints, together

LARGEST = 1 << 28
"""Elements of one tensor that an operator may make out of almost nothing."""


def concat(node: Node, *values: Tensor) -> Tensor:
    """Along one axis."""
    return torch.cat(together(*values), dim=node.integer("axis", 1))


def split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """Into the given sizes, or as many parts as there are outputs, the last one smaller."""
    axis = node.integer("axis", 0)
    chosen = node.integers("split") if sizes is None else ints(sizes)
    if chosen is None:
        parts = node.integer("num_outputs", len(node.outputs))
        return torch.split(x, max(-(-x.shape[axis] // parts), 1), dim=axis)
    return torch.split(x, chosen, dim=axis)


def check_size(node: Node, sizes: list[int]) -> None:
    """Refuse a tensor that would fill the memory.

    Raises: UntranslatableError.
    """
    if any(size < 0 for size in sizes) or math.prod(sizes) > LARGEST:
        raise UntranslatableError(f"{node.key} makes a tensor of shape {sizes}")


def expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """Broadcast to the shape that x and the given one have together."""
    target = list(np.broadcast_shapes(tuple(x.shape), tuple(ints(shape))))
    check_size(node, target)
    return x.expand(target)


def tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    """Repeated along every dimension."""
    times = ints(repeats)
    check_size(node, [size * count for size, count in zip(x.shape, times, strict=True)])
    return x.repeat(times) if times else x


def constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    """One value, float 0 by default, in the given shape."""
    sizes = ints(shape)
    check_size(node, sizes)
    value = node.tensor("value")
    if value is None:
        return torch.zeros(sizes, dtype=node.precision)
    return value.reshape(()).expand(sizes).clone()


def arange(node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """start, start + delta, ... below the limit."""
    first, last, step = start.item(), limit.item(), delta.item()
    check_size(node, [max(math.ceil((last - first) / step), 0)] if step else [-1])
    return torch.arange(first, last, step, dtype=start.dtype)
