"""What travels between operators on the backward pass of an approximation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """A tensor of integers or booleans that depends on the input, and the same numbers as floats with a gradient."""

    exact: Tensor
    shadow: Tensor


Value = Tensor | Pair | None
"""What a slot of the interpreter holds."""


def exact(value: Value) -> Tensor | None:
    """The true value of a slot."""
    return value.exact if isinstance(value, Pair) else value


def on_both(function: Callable[[list[Any]], Tensor], values: Sequence[Value]) -> Tensor | Pair:
    """A function of several slots, on the true values and, where one of them has a shadow, on the shadows as well."""
    true = function([exact(value) for value in values])
    kinds = [value.shadow.dtype for value in values if isinstance(value, Pair)]
    if not kinds:
        return true
    shadows = [
        value.shadow if isinstance(value, Pair) else value if value is None else value.to(kinds[0]) for value in values
    ]
    return Pair(true, function(shadows))
