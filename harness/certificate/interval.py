"""A tensor that stands for every tensor between two, so that a model's own code can be run on a whole box."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import NotApplicableError

TINY = 1e-9
"""What float64 may round, as a share of the numbers that were added up: covers sums of millions of terms."""


@dataclass(frozen=True)
class Made:
    """How values (N, K) came about: source (N, F) times weight (F, K), plus offset (K,)."""

    source: "Interval"
    weight: Tensor
    offset: Tensor


class Interval(Tensor):
    """All tensors between `low` and `high` (N, ...), float64, under the number type that the model sees."""

    low: Tensor
    high: Tensor
    made: Made | None
    shared: bool
    """Whether another interval may mean the same memory, so that nothing may be written into it."""

    @staticmethod
    def __new__(
        cls, low: Tensor, high: Tensor, dtype: torch.dtype, *, made: Made | None = None, shared: bool = False
    ) -> "Interval":
        wrapper: Interval = torch.Tensor._make_wrapper_subclass(cls, low.shape, dtype=dtype, device=low.device)
        wrapper.low, wrapper.high, wrapper.made, wrapper.shared = low, high, made, shared
        return wrapper

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Interval({tuple(self.shape)}, {self.dtype})"

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Nothing is known of intervals outside of `Bounds`."""
        raise NotApplicableError(f"no bounds are known for {func._schema.name}")

    @property
    def centre(self) -> Tensor:
        """Half way between the two."""
        return (self.low + self.high) / 2

    def radius(self, centre: Tensor) -> Tensor:
        """From the centre to either, and what rounding may add."""
        return (self.high - self.low) / 2 * (1 + TINY) + TINY * centre.abs()
