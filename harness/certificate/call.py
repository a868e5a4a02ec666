"""One operation of a model on boxes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..errors import NotApplicableError
from .interval import Interval, Made


@dataclass(frozen=True)
class Call:
    """One operation on at least one interval."""

    name: str
    function: Callable[..., Any]
    given: dict[str, Any]
    """Its arguments by their names."""
    dtype: torch.dtype

    @property
    def first(self) -> Any:
        """The first argument."""
        return next(iter(self.given.values()))

    def on(self, pick: Callable[[Interval], Tensor], **other: Any) -> Any:
        """The operation itself, in float64, on what is picked of each interval."""
        return self.function(**tree_map(lambda value: _plain(value, pick), self.given | other))

    def made(self, low: Tensor, high: Tensor, *, made: Made | None = None, shared: bool = False) -> Interval:
        """The outcome."""
        return Interval(low, high, self.dtype, made=made, shared=shared)


def _plain(value: Any, pick: Callable[[Interval], Tensor]) -> Any:
    return pick(value) if isinstance(value, Interval) else wide(value)


def wide(value: Any) -> Any:
    """Floats in float64, everything else as it is."""
    if isinstance(value, Interval) or not isinstance(value, Tensor):
        return value
    return value.double() if value.is_floating_point() else value


def refuse(call: Call) -> NotApplicableError:
    """No bounds."""
    return NotApplicableError(f"no bounds are known for {call.name}")
