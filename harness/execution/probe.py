"""A few questions before the first attack: is the model one function of its input, and is the gradient alive?"""

from dataclasses import replace

import torch
from torch import Tensor

from ..classifier import Classifier, RejectingClassifier
from ..decision import Decision, Goal, Objective
from ..diagnosis import DIFFERENCE, Probe
from ..errors import RobcheckError
from ..randomness import Stream
from ..threat import Ball
from .answers import apart, difference, looks_like
from .local import LocalTarget
from .meter import Meter
from .parity import with_parity
from .rejection_parity import score_of

SAMPLES = 32


class Asker:
    """Asks about a few samples x (N, ...), in model units, and remembers the answers.

    `rows` are their positions in the data set, 0..N-1 unless given; `lower` (N, ...) is the least that each feature may
    be, where samples have a box of their own.
    """

    def __init__(
        self,
        classifier: Classifier,
        x: Tensor,
        meter: Meter,
        rows: Tensor | None = None,
        lower: Tensor | None = None,
    ) -> None:
        self.lower = None if lower is None else lower[:SAMPLES]
        self.classifier, self.x, self.meter = classifier, x[:SAMPLES], meter
        self.rows = torch.arange(len(self.x)) if rows is None else rows[:SAMPLES]
        self.first: Decision | None = None

    def probe(self, batch: int) -> Probe:
        """Twice, in a batch as large as attacks will use, one by one, and through the twin."""
        every = torch.arange(len(self.x))
        self.first = first = self._ask(every)
        crowd = self._ask(every.repeat(max(1, -(-batch // len(every))))[: max(batch, len(every))])
        singles = Decision.cat([self._ask(one) for one in torch.split(every, 1)])
        repeated = self._apart(first, self._ask(every))
        # A score that is no number rejects nothing, which no detector means.
        missing = torch.stack([part.reshape(len(part), -1).isnan().any(dim=1) for part in first.parts]).any(dim=0)
        probe = Probe(
            samples=len(self.x),
            difference=repeated,
            random=repeated > DIFFERENCE or bool(self.classifier.info.random_operators),
            batch_difference=max(self._apart(first, singles), self._apart(first, crowd)),
            nan_outputs=int(missing.sum()),
            infinite_outputs=int((first.logits.isinf().any(dim=1) & ~missing).sum()),
            looks_like=looks_like(first.logits),
        )
        return with_parity(probe, self.classifier, self.x, first, self.meter, self.rows, self.lower)

    def drift(self) -> float:
        """How far the answers have moved since `probe`; inf when the model does not answer any more."""
        if self.first is None:
            return 0.0
        try:
            return self._apart(self.first, self._ask(torch.arange(len(self.x))))
        except Exception:  # third-party code may raise anything, and a model that fails now has changed
            return float("inf")

    def _ask(self, which: Tensor) -> Decision:
        self.meter.count("controls", self.rows[which], forward=1)
        x = self.x[which.to(self.x.device)]
        with torch.no_grad():
            if not isinstance(self.classifier, RejectingClassifier):
                return Decision(self.classifier.logits(x).float().cpu())
            logits, rejection = self.classifier.with_rejection(x)
            return Decision(logits.float().cpu(), rejection.float().cpu())

    def _apart(self, one: Decision, other: Decision) -> float:
        """How far two sets of answers are apart, the first ones of the longer set: logits, or rejection scores."""
        logits = difference(one.logits, other.logits[: len(one.logits)])
        if one.rejection is None or other.rejection is None or len(one.logits) == 0:
            return logits
        info = self.classifier.info
        first, second = score_of(one.rejection, info), score_of(other.rejection[: len(one.logits)], info)
        size = max(float(first.nan_to_num(0.0, 0.0, 0.0).abs().max()), 1e-12)
        return max(logits, float((apart(first, second) / size).nan_to_num(0.0).max()))


def probe_gradient(probe: Probe, target: LocalTarget, ball: Ball, goal: Goal, stream: Stream) -> Probe:
    """Ask for the margin gradient at one random point of each ball."""
    try:
        answer = target.gradient(ball.random_start(stream, 0), Objective("margin", goal), 0)
    except Exception as error:  # the twin runs third-party graphs: whatever it raises is a finding, not a crash
        return replace(probe, gradient_error=first_line(error))
    size = answer.gradient.flatten(1).abs().sum(dim=1)
    dead = ~(size.isfinite() & (size > 0))
    return replace(probe, dead_gradients=int(dead.sum()), gradient_samples=len(dead))


def first_line(error: Exception) -> str:
    """What went wrong, in a line; errors of our own need no name."""
    text, kind = str(error).partition("\n")[0], type(error).__name__
    return text if text and isinstance(error, RobcheckError) else f"{kind}: {text or 'no message'}"
