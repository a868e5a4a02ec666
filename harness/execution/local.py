"""A target that runs in this process: chunks, counts, and folds random draws into the batch."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..decision import Decision, Objective
from ..errors import NoGradientError
from ..gradients import ESTIMATORS, GradientName, eot
from ..gradients.cleaned import cleaned
from ..pipeline import Pipeline
from ..randomness import Stream
from ..results import Phase
from ..target import Answer
from .coordinates import Coordinates
from .meter import Meter


@dataclass(frozen=True)
class LocalTarget:
    """The samples at positions `rows` of a data set, questioned through one pipeline; see `harness.target.Target`."""

    pipeline: Pipeline
    coordinates: Coordinates
    rows: Tensor
    """Positions in the data set, (N,)."""
    stream: Stream
    """Keys of the target's own randomness, for the whole data set."""
    meter: Meter
    phase: Phase
    batch: int
    classes: int
    device: str
    gradient_name: GradientName | None = None
    """None: no gradient for this attack."""
    draws: int = 1
    """EOT draws per gradient question."""
    slack: float = 0.0
    """How much twin and deployed model may differ, in logits."""

    @property
    def random(self) -> bool:
        """Whether two equal questions may be answered differently."""
        return self.pipeline.random

    def select(self, index: Tensor) -> "LocalTarget":
        """The same target for the samples at `index`."""
        return replace(self, rows=self.rows[index])

    def decide(self, x: Tensor, step: int) -> Decision:
        """The deployed answer at x (N, ...)."""
        logits = []
        for start in range(0, len(x), self.batch):
            rows = self.rows[start : start + self.batch]
            self.meter.count(self.phase, rows, forward=1)
            stream = self._draws(rows, start, step)
            points = self.coordinates.select(rows).to_input(x[start : start + self.batch])
            with torch.no_grad():
                logits.append(self.pipeline.decide(points, stream).logits)
        return Decision(torch.cat(logits) if logits else torch.empty(0, self.classes, device=x.device))

    def gradient(self, x: Tensor, objective: Objective, step: int) -> Answer:
        """Loss and gradient at x (N, ...), averaged over the draws of a random target."""
        if self.gradient_name is None:
            raise NoGradientError("the plan gives this attack no gradient")
        if len(x) == 0:
            none = x.new_zeros(0)
            return Answer(none, torch.zeros_like(x), none, none.bool())
        size = max(1, self.batch // self.draws)
        answers = []
        for start in range(0, len(x), size):
            piece = torch.arange(start, min(start + size, len(x)), device=x.device)
            answers.append(
                self._gradient(x[piece], objective.select(piece), self.rows[piece], step, self.gradient_name)
            )
        if len(answers) == 1:
            return answers[0]
        return Answer(*(torch.cat([getattr(a, f) for a in answers]) for f in ("loss", "gradient", "score", "broken")))

    def _gradient(self, x: Tensor, objective: Objective, rows: Tensor, step: int, name: GradientName) -> Answer:
        n = self.draws
        self.meter.count(self.phase, rows, forward=n, backward=n)
        stream = self.stream.select(rows).child(f"{self.phase}/gradient/{step}").fold(n)
        with torch.enable_grad():
            points = eot.fold(x.detach(), n).requires_grad_(True)
            inputs = self.coordinates.select(eot.fold(rows, n)).to_input(points)
            decision = self.pipeline.differentiable(inputs, stream, ESTIMATORS[name], bpda=name != "exact")
            folded = objective.fold(n)
            loss = folded(decision)
            if not loss.requires_grad:
                raise NoGradientError(f"no gradient from the model's output to its input by {name}")
            (gradient,) = torch.autograd.grad(loss.sum(), [points])
        gradient = cleaned(gradient)
        logits = decision.logits.detach()
        # NaN from the twin may be the twin's own trouble, so it is no break here; `Best` asks the deployed model.
        usable = ~logits.isnan().any(dim=1)
        score = torch.where(usable, folded.goal.score(Decision(logits, decision.rejection)), -torch.inf)
        return Answer(
            loss=eot.mean(loss.detach(), n),
            gradient=eot.mean(gradient, n),
            score=eot.mean(score, n),
            broken=eot.every(score > self.slack, n),
        )

    def _draws(self, rows: Tensor, start: int, step: int) -> Stream:
        """A stream per question; a sample that is asked about several times in one call gets a draw for each."""
        streams = self.stream.select(rows)
        if not self.pipeline.random:
            return streams
        # Position among the questions of the same call keeps repeated rows apart, and is the same for any chunking.
        order = torch.arange(start, start + len(rows), device=rows.device) - self._first(start, len(rows))
        keyed = streams.child(f"{self.phase}/decide/{step}")
        return Stream(keyed.keys ^ (order + 1).mul(0x632BE59BD9B4E019))

    def _first(self, start: int, count: int) -> Tensor:
        """For each question, the position of the first question about the same sample (questions are sample-major)."""
        changes = torch.ones_like(self.rows, dtype=torch.bool)
        changes[1:] = self.rows[1:] != self.rows[:-1]
        positions = torch.arange(len(self.rows), device=self.rows.device)
        first = torch.where(changes, positions, torch.zeros_like(positions)).cummax(dim=0).values
        return first[start : start + count]
