"""Element-wise arithmetic of two or more tensors, with numpy broadcasting."""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from ..node import Node
from .obstacle import Obstacle
from .unsigned import is_stored, over_int64, unsigned_div, unsigned_mod
from .values import Operator, together


@over_int64
def add(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a + b."""
    a, b = together(a, b)
    return a + b


@over_int64
def sub(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a - b."""
    a, b = together(a, b)
    return a - b


@over_int64
def mul(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a * b."""
    a, b = together(a, b)
    return a * b


def div(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a / b; integers truncate towards zero as in C."""
    a, b = together(a, b)
    if is_stored(a):
        return unsigned_div(a, b)
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def power(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a ** b in the type of a."""
    a, b = together(a, b)
    if a.is_floating_point():
        return torch.pow(a, b.to(a.dtype))
    return torch.pow(a, b).to(a.dtype)


def mod(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """Remainder with the sign of b, or of a when fmod is 1."""
    a, b = together(a, b)
    if is_stored(a):
        return unsigned_mod(a, b)
    return torch.fmod(a, b) if node.integer("fmod", 0) else torch.remainder(a, b)


def _half(_node: Node, a: Tensor, _b: Tensor) -> Tensor:
    # Alone the slope is 1, in x - x % s, which rounds, what gets around it is 0: half has the right sign in both.
    return 0.5 * a


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    """An operator without attributes from a torch function."""
    return lambda _node, x: function(x)


def variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """An operator over any number of inputs from a torch function of two."""
    return lambda _node, *values: reduce(function, together(*values))


def mean(_node: Node, *values: Tensor) -> Tensor:
    """Arithmetic mean of the inputs, element by element."""
    return reduce(torch.add, together(*values)) / len(values)


MOD = Obstacle(mod, "wraps around, the gradient jumps", _half)
