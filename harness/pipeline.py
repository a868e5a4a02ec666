"""A classifier behind its defenses: what is deployed, and therefore what is attacked."""

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from .classifier import Classifier
from .decision import Decision
from .errors import NoGradientError
from .randomness import Stream

SurrogateKind = Literal["exact", "identity", "named", "opaque"]


@dataclass(frozen=True)
class Surrogate:
    """What stands in for a stage on the backward pass, and why; there is no default, because a wrong one flatters.

    exact: the stage is differentiable itself. identity: E g(x) is close to x. named: `Stage.replacement` is a
    differentiable stand-in. opaque: nothing is known to work.
    """

    kind: SurrogateKind
    reason: str


class Stage(Protocol):
    """One defense in front of the classifier: pixels (N, C, H, W) in [0, 1] to pixels of the same shape."""

    @property
    def label(self) -> str:
        """Name and parameters, as a user writes them."""
        ...

    @property
    def random(self) -> bool:
        """Whether two passes over one input may differ."""
        ...

    @property
    def surrogate(self) -> Surrogate:
        """What gradients use in its place."""
        ...

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """The stage as deployed; differentiable exactly when the surrogate is `exact`."""
        ...

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:
        """The differentiable stand-in of a `named` surrogate."""
        ...


class Through(Protocol):
    """How an estimator passes one stage with a gradient."""

    def __call__(self, stage: Stage, x: Tensor, stream: Stream) -> Tensor: ...


@dataclass(frozen=True)
class Pipeline:
    """Stages, then the classifier. Inputs are in units of the classifier's bounds."""

    classifier: Classifier
    stages: tuple[Stage, ...] = ()
    noisy_classifier: bool = False
    """The classifier itself answered two equal questions differently."""
    cut_gradient: str = ""
    """Why the twin's output carries no gradient to its input, when a probe found that out."""

    @property
    def random(self) -> bool:
        """Whether two passes over one input may differ."""
        return self.noisy_classifier or any(stage.random for stage in self.stages)

    @property
    def no_gradient(self) -> str:
        """Why the classifier has no gradient; empty when it has one."""
        if self.cut_gradient:
            return self.cut_gradient
        if self.classifier.differentiable() is not None or self.classifier.differentiable("bpda") is not None:
            return ""
        return self.classifier.info.twin.reason or "the model has no differentiable twin"

    def decide(self, x: Tensor, stream: Stream) -> Decision:
        """The deployed forward on x (N, ...), no gradient."""
        if self.stages:
            pixels = self._to_pixels(x)
            for number, stage in enumerate(self.stages):
                pixels = stage.forward(pixels, stream.child(f"{number}/{stage.label}"))
            x = self._from_pixels(pixels)
        return Decision(self.classifier.logits(x).to(x.device))

    def differentiable(self, x: Tensor, stream: Stream, through: Through, *, bpda: bool) -> Decision:
        """The forward with a gradient to x; every stage is passed as `through` says.

        Raises:
            NoGradientError: the classifier has no differentiable twin, or a stage refuses.
        """
        twin = self.classifier.differentiable("bpda" if bpda else "exact")
        if twin is None:
            raise NoGradientError(
                self.no_gradient or f"the model has no twin for {'bpda' if bpda else 'exact'} gradients"
            )
        if self.stages:
            pixels = self._to_pixels(x)
            for number, stage in enumerate(self.stages):
                pixels = through(stage, pixels, stream.child(f"{number}/{stage.label}"))
            x = self._from_pixels(pixels)
        return Decision(twin(x))

    def _to_pixels(self, x: Tensor) -> Tensor:
        low, high = self.classifier.info.bounds
        return x if (low, high) == (0.0, 1.0) else (x - low) / (high - low)

    def _from_pixels(self, pixels: Tensor) -> Tensor:
        low, high = self.classifier.info.bounds
        return pixels if (low, high) == (0.0, 1.0) else pixels * (high - low) + low
