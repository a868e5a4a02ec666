"""A module with an output by which it refuses to answer."""

from torch import Tensor

from ...harness.classifier import GradientKind, RejectingForward
from ..rejection import only_with_stand_ins
from .classifier import TorchClassifier


class RejectingTorchClassifier(TorchClassifier):
    """A module with two answers: the class and whether it stands by it."""

    _stand_ins: bool | None = None

    def with_rejection(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The forward without a gradient: logits (N, K) and the excess of the score over the threshold (N,).

        Raises:
            ModelError: the module fails on x, or its output is no (N, K) scores.
            UsageError: the declared output is not there, or is no number per sample.
        """
        columns = self._deployed(x)
        return columns[:, :-1], columns[:, -1]

    def differentiable_rejection(self, gradient: GradientKind = "exact") -> RejectingForward | None:
        """Both from one forward with autograd intact to x; "bpda" as in `differentiable`.

        There is no exact one of a score whose gradient only stand-ins carry: it would lead past no detector.
        """
        if gradient == "exact" and self._needs_stand_ins():
            return None
        forward = self._differentiable(gradient)

        def both(x: Tensor) -> tuple[Tensor, Tensor]:
            columns = forward(x)
            return columns[:, :-1], columns[:, -1]

        return both

    def _needs_stand_ins(self) -> bool:
        if self._sample is None or not self._info.obstacles:
            return False
        if self._stand_ins is None:
            before = self._random.state
            self._stand_ins = only_with_stand_ins(
                lambda kind: lambda x: self._differentiable(kind)(x)[:, -1], self._sample
            )
            self._random.state = before
        return self._stand_ins
