"""Reduce*: over axes from an attribute or an input, all of them by default."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..node import Node
from .values import Operator, ints


def _reduction(
    function: Callable[[Tensor, list[int], bool], Tensor], single: Callable[[Tensor], Tensor] | None = None
) -> Operator:
    """`single` is what remains to do to one element when there is nothing to reduce over."""

    def forward(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = node.integers("axes") if axes is None else ints(axes)
        if not chosen:
            if node.integer("noop_with_empty_axes", 0):
                return x if single is None else single(x)
            chosen = list(range(x.dim()))
        return function(x, chosen, bool(node.integer("keepdims", 1))) if chosen else x

    return forward


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(dim=axis, keepdim=keep)
    return x


def _end(dtype: torch.dtype, *, largest: bool) -> float | int | bool:
    """The largest or smallest number of a type."""
    if dtype == torch.bool:
        return largest
    if dtype.is_floating_point:
        return float("inf") if largest else float("-inf")
    return torch.iinfo(dtype).max if largest else torch.iinfo(dtype).min


def _extreme(function: Callable[..., Tensor], x: Tensor, axes: list[int], keep: bool, *, largest: bool) -> Tensor:
    """amax or amin; over no element at all, the number that every other one beats."""
    chosen = {axis % x.dim() for axis in axes}
    if all(x.shape[axis] for axis in chosen):
        return function(x, dim=axes, keepdim=keep)
    sizes = [1 if axis in chosen else size for axis, size in enumerate(x.shape) if keep or axis not in chosen]
    return torch.full(sizes, _end(x.dtype, largest=largest), dtype=x.dtype, device=x.device)


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if x.is_floating_point():
        return x.mean(dim=axes, keepdim=keep)
    count = x.numel() // max(x.sum(dim=axes).numel(), 1)
    return torch.div(x.sum(dim=axes, keepdim=keep), count, rounding_mode="trunc").to(x.dtype)


def _norm(order: int) -> Callable[[Tensor, list[int], bool], Tensor]:
    return lambda x, axes, keep: torch.linalg.vector_norm(x, order, dim=axes, keepdim=keep)


reduce_mean = _reduction(_mean)
reduce_sum = _reduction(lambda x, axes, keep: x.sum(dim=axes, keepdim=keep, dtype=x.dtype))
reduce_max = _reduction(lambda x, axes, keep: _extreme(torch.amax, x, axes, keep, largest=False))
reduce_min = _reduction(lambda x, axes, keep: _extreme(torch.amin, x, axes, keep, largest=True))
reduce_prod = _reduction(_product)
reduce_l1 = _reduction(_norm(1), torch.abs)
reduce_l2 = _reduction(_norm(2), torch.abs)
reduce_sum_square = _reduction(lambda x, axes, keep: x.square().sum(dim=axes, keepdim=keep), torch.square)
reduce_log_sum = _reduction(lambda x, axes, keep: x.sum(dim=axes, keepdim=keep).log(), torch.log)
reduce_log_sum_exp = _reduction(lambda x, axes, keep: torch.logsumexp(x, dim=axes, keepdim=keep))
