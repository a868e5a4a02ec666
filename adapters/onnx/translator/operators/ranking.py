"""ArgMax, ArgMin, TopK, CumSum, Trilu: order and position along an axis."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .obstacle import SORTS, Obstacle
from .values import Operator, ints


def _arg(function: Callable[..., Tensor]) -> Operator:
    def forward(node: Node, x: Tensor) -> Tensor:
        axis, keep = node.integer("axis", 0), bool(node.integer("keepdims", 1))
        if not node.integer("select_last_index", 0):
            return function(x, dim=axis, keepdim=keep)
        return x.shape[axis] - 1 - function(x.flip(axis), dim=axis, keepdim=keep)

    return forward


arg_max = _arg(torch.argmax)
arg_min = _arg(torch.argmin)


def _top(x: Tensor, count: int, axis: int, largest: bool) -> tuple[Tensor, Tensor]:
    """Ties go to the lower index, which torch.topk does not promise."""
    values, index = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, count), index.narrow(axis, 0, count)


def top_k_attribute(node: Node, x: Tensor) -> tuple[Tensor, Tensor]:
    """k from an attribute (opset 1)."""
    return _top(x, node.integer("k", 1), node.integer("axis", -1), True)


def top_k_input(node: Node, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """k from an input (opset 10)."""
    return _top(x, ints(k)[0], node.integer("axis", -1), bool(node.integer("largest", 1)))


def _soft_place(sign: float) -> Operator:
    def forward(node: Node, x: Tensor) -> Tensor:
        axis, keep = node.integer("axis", 0), bool(node.integer("keepdims", 1))
        shape = [1] * x.dim()
        shape[axis] = -1
        places = torch.arange(x.shape[axis], dtype=x.dtype, device=x.device).reshape(shape)
        return (torch.softmax(sign * x, dim=axis) * places).sum(dim=axis, keepdim=keep)

    return forward


# The expected place under a softmax stands in for the place of the largest.
ARG_MAX = Obstacle(arg_max, SORTS, _soft_place(1.0))
ARG_MIN = Obstacle(arg_min, SORTS, _soft_place(-1.0))
# Values carry their gradient to where they came from; indices have none.
TOP_K_ATTRIBUTE = Obstacle(top_k_attribute, SORTS, top_k_attribute)
TOP_K_INPUT = Obstacle(top_k_input, SORTS, top_k_input)


def cum_sum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """Running sum along one axis, from the end on demand, without the element itself on demand."""
    dim = ints(axis)[0]
    if node.integer("reverse", 0):
        x = x.flip(dim)
    y = x.cumsum(dim, dtype=x.dtype)
    if node.integer("exclusive", 0):
        y = y - x
    return y.flip(dim) if node.integer("reverse", 0) else y


def cum_prod(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """Running product along one axis, from the end on demand, without the element itself on demand."""
    dim = ints(axis)[0]
    if node.integer("reverse", 0):
        x = x.flip(dim)
    if node.integer("exclusive", 0):
        x = torch.cat([torch.ones_like(x.narrow(dim, 0, 1)), x.narrow(dim, 0, x.shape[dim] - 1)], dim=dim)
    y = x.cumprod(dim, dtype=x.dtype)
    return y.flip(dim) if node.integer("reverse", 0) else y


def trilu(node: Node, x: Tensor, k: Tensor | None = None) -> Tensor:
    """Upper or lower triangle of the last two dimensions.

    Raises: UntranslatableError.
    """
    if x.dim() < 2:
        raise UntranslatableError("Trilu of less than two dimensions")
    diagonal = 0 if k is None or not k.numel() else ints(k)[0]
    return torch.triu(x, diagonal) if node.integer("upper", 1) else torch.tril(x, diagonal)
