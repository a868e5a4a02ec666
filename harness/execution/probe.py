"""A few questions before the first attack: is the model one function of its input, and is the gradient alive?"""

from dataclasses import replace

import torch
from torch import Tensor

from ..classifier import Classifier
from ..decision import Goal, Objective
from ..diagnosis import DIFFERENCE, Probe
from ..errors import RobcheckError
from ..randomness import Stream
from ..threat import Ball
from .answers import difference, looks_like
from .local import LocalTarget
from .meter import Meter
from .parity import with_parity

SAMPLES = 32


class Asker:
    """Asks about a few samples x (N, ...), in model units, and remembers the answers.

    `rows` are their positions in the data set, 0..N-1 unless given.
    """

    def __init__(self, classifier: Classifier, x: Tensor, meter: Meter, rows: Tensor | None = None) -> None:
        self.classifier, self.x, self.meter = classifier, x[:SAMPLES], meter
        self.rows = torch.arange(len(self.x)) if rows is None else rows[:SAMPLES]
        self.first: Tensor | None = None

    def probe(self, batch: int) -> Probe:
        """Twice, in a batch as large as attacks will use, one by one, and through the twin."""
        every = torch.arange(len(self.x))
        self.first = first = self._ask(every)
        crowd = self._ask(every.repeat(max(1, -(-batch // len(every))))[: max(batch, len(every))])
        singles = torch.cat([self._ask(one) for one in torch.split(every, 1)])
        repeated = difference(first, self._ask(every))
        missing = first.isnan().any(dim=1)
        probe = Probe(
            samples=len(self.x),
            difference=repeated,
            random=repeated > DIFFERENCE or bool(self.classifier.info.random_operators),
            batch_difference=max(difference(first, singles), difference(first, crowd[: len(first)])),
            nan_outputs=int(missing.sum()),
            infinite_outputs=int((first.isinf().any(dim=1) & ~missing).sum()),
            looks_like=looks_like(first),
        )
        return with_parity(probe, self.classifier, self.x, first, self.meter, self.rows)

    def drift(self) -> float:
        """How far the answers have moved since `probe`; inf when the model does not answer any more."""
        if self.first is None:
            return 0.0
        try:
            return difference(self.first, self._ask(torch.arange(len(self.x))))
        except Exception:  # third-party code may raise anything, and a model that fails now has changed
            return float("inf")

    def _ask(self, which: Tensor) -> Tensor:
        self.meter.count("controls", self.rows[which], forward=1)
        with torch.no_grad():
            return self.classifier.logits(self.x[which.to(self.x.device)]).float().cpu()


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
