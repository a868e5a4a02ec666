"""The classifier that adapters deliver and everything else questions."""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from .model_info import ModelInfo

GradientKind = Literal["exact", "bpda"]
Forward = Callable[[Tensor], Tensor]
RejectingForward = Callable[[Tensor], tuple[Tensor, Tensor]]


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
class RejectingClassifier(Protocol):
    """What a classifier offers besides when it may refuse to answer."""

    def with_rejection(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The deployed forward: logits (N, K) and a rejection score (N,), rejected above 0; no gradient."""
        ...

    def differentiable_rejection(self, gradient: GradientKind = "exact") -> RejectingForward | None:
        """The torch twin of both, or None."""
        ...


@runtime_checkable
class FeatureTwin(Protocol):
    """What a classifier may offer besides, so that features can be matched."""

    def features(self, gradient: GradientKind = "exact") -> Forward | None:
        """The twin up to its penultimate layer, (N, F); None where there is none to be found."""
        ...


@runtime_checkable
class DoubleTwin(Protocol):
    """What a classifier may offer besides, so that its gradient can be held against finite differences."""

    def double(self) -> Forward | None:
        """The exact twin in float64 for float64 inputs in units of `info.bounds`; None: none can be made.

        Every twin that is made of a random model begins with the same draws.
        """
        ...
