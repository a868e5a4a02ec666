"""The classifier that adapters deliver and everything else questions."""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from .model_info import ModelInfo

GradientKind = Literal["exact", "bpda"]
Forward = Callable[[Tensor], Tensor]


@runtime_checkable
class Classifier(Protocol):
    """A third-party model behind one contract.

    Inputs are (N, *info.input_shape) float32 in units of `info.bounds`; range, layout and normalisation of the
    file are inside.
    """

    @property
    def info(self) -> ModelInfo:
        """What the adapter found out."""
        ...

    def logits(self, x: Tensor) -> Tensor:
        """The deployed forward, (N, K) without a gradient; it alone decides whether a sample is broken."""
        ...

    def differentiable(self, gradient: GradientKind = "exact") -> Forward | None:
        """The torch twin that gradients come from, or None."""
        ...


@runtime_checkable
class DoubleTwin(Protocol):
    """What a classifier may offer besides, so that its gradient can be held against finite differences."""

    def double(self) -> Forward | None:
        """The exact twin in float64 for float64 inputs in units of `info.bounds`; None: none can be made.

        Every twin that is made of a random model begins with the same draws.
        """
        ...
