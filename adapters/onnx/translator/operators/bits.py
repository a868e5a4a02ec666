"""BitShift, Bitwise* and BitCast: exact on integers; the stand-ins have the slope of the same move on numbers."""

from collections.abc import Callable

import torch
from onnx import TensorProto
from torch import Tensor

from ..node import Node, UntranslatableError
from .obstacle import BITS, Obstacle
from .unsigned import over_int64
from .values import Operator, together

_LARGEST = (1 << 63) - 1


def _whole(node: Node, *values: Tensor) -> tuple[Tensor, ...]:
    if any(value.is_floating_point() for value in values):
        raise UntranslatableError(f"{node.key} over floats")
    return together(*values)


def _right(bits: Tensor, count: Tensor, outside: Tensor, signed: bool) -> Tensor:
    if signed:
        gone = torch.where(bits < 0, -torch.ones_like(bits), torch.zeros_like(bits))
        return torch.where(outside, gone, torch.bitwise_right_shift(bits, count))
    # the first step frees the place of the sign, which unsigned numbers do not have
    upper = torch.bitwise_right_shift(bits, torch.ones_like(bits)) & _LARGEST
    moved = torch.bitwise_right_shift(upper, (count - 1).clamp(min=0))
    return torch.where(outside, torch.zeros_like(bits), torch.where(count == 0, bits, moved))


def bit_shift(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a moved by b bits; a shift beyond the width leaves nothing but the sign.

    Raises: UntranslatableError.
    """
    a, b = _whole(node, a, b)
    bits, count = a.to(torch.int64), b.to(torch.int64)
    outside = (count < 0) | (count >= 8 * a.element_size())
    count = torch.where(outside, torch.zeros_like(count), count)
    if node.text("direction", "LEFT") == "RIGHT":
        return _right(bits, count, outside, a.dtype.is_signed).to(a.dtype)
    moved = torch.bitwise_left_shift(bits, count)
    return torch.where(outside, torch.zeros_like(moved), moved).to(a.dtype)


def shift_slope(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a times or divided by a power of two, without losing what leaves the type."""
    a, b = together(a, b)
    b = b.to(a.dtype)  # the negative of an unsigned count would wrap around
    return a * torch.exp2(b if node.text("direction", "LEFT") == "LEFT" else -b)


def bitwise(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """And, Or or Xor from a torch function of two."""

    def forward(node: Node, a: Tensor, b: Tensor) -> Tensor:
        return over_int64(lambda _node, one, other: function(one, other))(node, *_whole(node, a, b))

    return forward


def either_slope(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """Both pass: with a constant mask the answer follows the other number."""
    a, b = together(a, b)
    return a + b


def bitwise_not(node: Node, a: Tensor) -> Tensor:
    """Every bit turned over.

    Raises: UntranslatableError.
    """
    (a,) = _whole(node, a)
    return over_int64(lambda _node, x: torch.bitwise_not(x))(node, a)


def not_slope(_node: Node, a: Tensor) -> Tensor:
    """-a, which falls where a rises."""
    return -a


def bit_cast(node: Node, x: Tensor) -> Tensor:
    """The same bytes read as another type of the same width.

    Raises: UntranslatableError.
    """
    code = node.integer("to", TensorProto.FLOAT)
    dtype = node.dtype(code)
    narrow = code in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    inexact = node.precision != torch.float32 and torch.float64 in (dtype, x.dtype)
    if narrow or inexact or torch.empty((), dtype=dtype).element_size() != x.element_size():
        raise UntranslatableError(f"BitCast from {x.dtype} to the ONNX data type {code}")
    return x.view(dtype)


BIT_SHIFT = Obstacle(bit_shift, BITS, shift_slope)
BITWISE_AND = Obstacle(bitwise(torch.bitwise_and), BITS, either_slope)
BITWISE_OR = Obstacle(bitwise(torch.bitwise_or), BITS, either_slope)
BITWISE_XOR = Obstacle(bitwise(torch.bitwise_xor), BITS, either_slope)
BITWISE_NOT = Obstacle(bitwise_not, BITS, not_slope)
BIT_CAST = Obstacle(bit_cast, BITS, None)
