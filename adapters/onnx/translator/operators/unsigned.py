"""Arithmetic on uint16, uint32 and uint64, which torch stores but does not compute with: the same bits in int64."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

_STORED = (torch.uint16, torch.uint32, torch.uint64)
_LOWEST = -(1 << 63)


def over_int64(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The operator on the same bits as int64; what comes back as int64 wraps into the type of the inputs.

    Exact for sums, products and bits of every width; order and quotients of uint64 need `unsigned_*`.
    """

    @wraps(operator)
    def forward(node: object, *values: Tensor) -> Tensor:
        kinds = [value.dtype for value in values if value.dtype in _STORED]
        if not kinds:
            return operator(node, *values)
        result = operator(node, *(value.to(torch.int64) if value.dtype in _STORED else value for value in values))
        return result.to(kinds[0]) if result.dtype == torch.int64 else result

    return forward


def in_order(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A comparison, maximum or minimum of two tensors, for stored unsigned types as well."""

    @wraps(function)
    def forward(a: Tensor, b: Tensor) -> Tensor:
        if a.dtype not in _STORED:
            return function(a, b)
        # adding the lowest number keeps the order of uint64 in int64
        lowest = torch.tensor(_LOWEST, dtype=torch.int64, device=a.device)
        result = function(a.to(torch.int64) + lowest, b.to(torch.int64) + lowest)
        return (result - lowest).to(a.dtype) if result.dtype == torch.int64 else result

    return forward


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """a // b of int64 tensors that hold the bits of unsigned numbers."""
    below = torch.bitwise_right_shift(a, torch.ones_like(a)) & ((1 << 63) - 1)
    small = torch.where(b > 0, b, torch.ones_like(b))
    guess = torch.div(below, small, rounding_mode="trunc") * 2
    rest = a - guess * small
    guess = guess + ((rest < 0) | (rest >= small)).to(torch.int64)
    huge = (a < 0) & (a >= b)
    return torch.where(b < 0, huge.to(torch.int64), guess)


def unsigned_div(a: Tensor, b: Tensor) -> Tensor:
    """Whole quotient of two stored unsigned tensors."""
    return quotient(a.to(torch.int64), b.to(torch.int64)).to(a.dtype)


def unsigned_mod(a: Tensor, b: Tensor) -> Tensor:
    """Remainder of two stored unsigned tensors."""
    first, second = a.to(torch.int64), b.to(torch.int64)
    return (first - quotient(first, second) * second).to(a.dtype)


def is_stored(value: Tensor) -> bool:
    """Whether torch stores this type without computing in it."""
    return value.dtype in _STORED
