"""A classifier behind its defenses: what is deployed, and therefore what is attacked."""

from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from .classifier import Classifier, FeatureTwin, Forward, GradientKind, RejectingClassifier
from .decision import Decision
from .errors import NoGradientError
from .randomness import Stream
from .rule import Rule
from .stage import Stage, Surrogate, reshapes


class Through(Protocol):
    """How an estimator passes one stage with a gradient."""

    def __call__(self, stage: Stage, x: Tensor, stream: Stream) -> Tensor: ...


class Detector(Protocol):
    """A defense behind the classifier: it looks at input and answer and may reject."""

    @property
    def label(self) -> str:
        """Name and parameters, as a user writes them."""
        ...

    @property
    def random(self) -> bool:
        """Whether two passes over one input may differ."""
        ...

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:
        """The rejection score (N,) of pixels x (N, ...) answered with logits (N, K), rejected above 0.

        Differentiable to both; where it is not by nature, it carries its stand-in on the way back itself.
        """
        ...


@dataclass(frozen=True)
class Pipeline:
    """Stages, then the classifier, then the detector. Inputs are in units of the classifier's bounds."""

    classifier: Classifier
    stages: tuple[Stage, ...] = ()
    detector: Detector | None = None
    rule: Rule = field(default_factory=Rule)
    threshold: float = 0.0
    """Rejected is what scores above this."""
    noisy_classifier: bool = False
    """The classifier itself answered two equal questions differently."""
    cut_gradient: str = ""
    """Why the twin's output carries no gradient to its input, when a probe found that out."""

    @property
    def random(self) -> bool:
        """Whether two passes over one input may differ."""
        detects_by_chance = self.detector is not None and self.detector.random
        return self.noisy_classifier or detects_by_chance or any(stage.random for stage in self.stages)

    @property
    def rejects(self) -> bool:
        """Whether it may refuse to answer."""
        return self.detector is not None or isinstance(self.classifier, RejectingClassifier)

    @property
    def reshaped(self) -> bool:
        """Whether the classifier takes something of another shape than the samples have."""
        return any(reshapes(stage) for stage in self.stages)

    @property
    def draws(self) -> int:
        """Draws behind one answer of the deployed product, each a pass through the model."""
        return self.rule.draws if self.random else 1

    @property
    def defenses(self) -> list[str]:
        """Everything around the classifier, as a user writes it."""
        behind = [] if self.detector is None else [self.detector.label]
        return [stage.label for stage in self.stages] + behind

    @property
    def no_gradient(self) -> str:
        """Why the classifier has no gradient; empty when it has one."""
        if self.cut_gradient:
            return self.cut_gradient
        if self.classifier.differentiable() is not None or self.classifier.differentiable("bpda") is not None:
            return ""
        return self.classifier.info.twin.reason or "the model has no differentiable twin"

    def decide(self, x: Tensor, stream: Stream) -> Decision:
        """The deployed answers to x (N, ...) by the declared rule, no gradient; `draws` rows are asked per sample."""
        if self.draws == 1:
            return self.once(x, stream)
        return self.rule.combine(self.once(x.repeat_interleave(self.draws, dim=0), stream.fold(self.draws)), self.draws)

    def once(self, x: Tensor, stream: Stream) -> Decision:
        """One draw of the deployed forward on x (N, ...), no gradient."""
        inputs = self.staged(x, stream)
        if isinstance(self.classifier, RejectingClassifier):
            logits, rejection = (part.to(x.device) for part in self.classifier.with_rejection(inputs))
        else:
            logits, rejection = self.classifier.logits(inputs).to(x.device), None
        return self._judged(x, logits, rejection, stream)

    def staged(self, x: Tensor, stream: Stream, through: Through | None = None) -> Tensor:
        """What the classifier gets to see of x (N, ...), in units of its bounds; passed as deployed unless told how."""
        if not self.stages:
            return x
        pixels = self._to_pixels(x)
        for number, stage in enumerate(self.stages):
            draws = stream.child(f"{number}/{stage.label}")
            pixels = stage.forward(pixels, draws) if through is None else through(stage, pixels, draws)
        return self._from_pixels(pixels)

    def differentiable(
        self, x: Tensor, stream: Stream, through: Through, *, bpda: bool, features: bool = False
    ) -> Decision:
        """One draw with a gradient to x; every stage is passed as `through` says, features come with it on demand.

        Raises:
            NoGradientError: the classifier has no differentiable twin or no features, or a stage refuses.
        """
        kind: GradientKind = "bpda" if bpda else "exact"
        missing = self.no_gradient or f"the model has no twin for {kind} gradients"
        inputs = self.staged(x, stream, through)
        if isinstance(self.classifier, RejectingClassifier):
            both = self.classifier.differentiable_rejection(kind)
            if both is None:
                raise NoGradientError(missing)
            answer = self._judged(x, *both(inputs), stream)
        else:
            twin = self.classifier.differentiable(kind)
            if twin is None:
                raise NoGradientError(missing)
            answer = self._judged(x, twin(inputs), None, stream)
        return replace(answer, features=self._features(kind)(inputs)) if features else answer

    @property
    def offers_features(self) -> bool:
        """Whether the classifier's twin has a penultimate layer that can be looked at."""
        return isinstance(self.classifier, FeatureTwin) and self.classifier.features() is not None

    def _features(self, kind: GradientKind) -> Forward:
        found = self.classifier.features(kind) if isinstance(self.classifier, FeatureTwin) else None
        if found is None:
            raise NoGradientError("the model offers no features")
        return found

    def _judged(self, x: Tensor, logits: Tensor, rejection: Tensor | None, stream: Stream) -> Decision:
        """With the detector's word added: the stricter of two rejections counts."""
        if self.detector is not None:
            score = self.detector.score(self._to_pixels(x), logits, stream.child(f"detector/{self.detector.label}"))
            score = score.to(logits.device)
            # Of a score that is no number the other one decides.
            rejection = score if rejection is None else torch.fmax(rejection, score)
        if rejection is not None and self.threshold:
            rejection = rejection - self.threshold
        return Decision(logits, rejection)

    def _to_pixels(self, x: Tensor) -> Tensor:
        low, high = self.classifier.info.bounds
        return x if (low, high) == (0.0, 1.0) else (x - low) / (high - low)

    def _from_pixels(self, pixels: Tensor) -> Tensor:
        low, high = self.classifier.info.bounds
        return pixels if (low, high) == (0.0, 1.0) else pixels * (high - low) + low


__all__ = ["Detector", "Pipeline", "Stage", "Surrogate", "Through"]
