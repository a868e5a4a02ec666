"""The target on this machine: cuts questions into batches, counts their passes, folds random draws into the batch."""

from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from ..decision import Decision, Objective
from ..errors import NoGradientError
from ..gradients import AnyEstimator, FiniteDifferences, Nes, Nets, Spsa, eot
from ..pipeline import Pipeline
from ..randomness import Stream
from ..results import Phase
from ..rule import Rule, average
from ..target import Answer
from . import differentiation, questioning
from .coordinates import Coordinates
from .generation import LocalGenerator, generative_stage
from .meter import Meter
from .trace import Trace


class Head(Protocol):
    """Another question put to the same model: turns its answers about samples into answers of a planted problem."""

    def __call__(self, decision: Decision, rows: Tensor) -> Decision:
        """The decision (M, ...) about the samples at positions `rows` (M,), differentiable."""
        ...


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
    estimator: AnyEstimator | None = None
    """None: no gradient for this attack."""
    draws: int = 1
    """EOT draws per gradient question, or draws behind one answer to an attack that asks for answers alone."""
    votes: bool = False
    """An answer that rests on several draws is their majority rather than their mean."""
    radius: Tensor | None = None
    """Largest change per feature in attack space that the threat model allows, for the whole data set."""
    nets: Nets = field(default_factory=dict)
    """Networks trained in the place of stages."""
    source: Pipeline | None = None
    """What gradients are taken of, where that is not the target itself."""
    features: bool = False
    """Whether gradients are asked for with the twin's features."""
    slack: float = 0.0
    """How much twin and deployed model may differ, in logits."""
    head: Head | None = None
    """What is asked instead of the model's own answer; the pipeline then has to be one without a draw."""
    trace: Trace | None = None
    """Where gradient questions are written down."""

    @property
    def random(self) -> bool:
        """Whether two equal questions may be answered differently."""
        return self.pipeline.random

    @property
    def looks(self) -> int:
        """Forward passes behind one answer with a gradient: the twin's features are asked for by themselves."""
        return 2 if self.features else 1

    def select(self, index: Tensor) -> "LocalTarget":
        """The same target for the samples at `index`."""
        return replace(self, rows=self.rows[index])

    def inputs(self, x: Tensor, rows: Tensor) -> Tensor:
        """Model inputs for points x (N, ...) of attack space."""
        return self.coordinates.select(rows).to_input(x)

    def decide(self, x: Tensor, step: int) -> Decision:
        """The deployed answer at x (N, ...); of a random target the mean or majority of `draws` answers."""
        draws = self.draws if self.random and self.estimator is None else 1
        answers = []
        size = max(1, self.batch // (draws * self.pipeline.draws))
        for start in range(0, len(x), size):
            rows = self.rows[start : start + size]
            self.meter.count(self.phase, rows, forward=draws * self.pipeline.draws)
            stream = self._draws(rows, start, step)
            with torch.no_grad():
                points = eot.fold(self.inputs(x[start : start + size], rows), draws)
                answer = self.pipeline.decide(points, stream if draws == 1 else stream.fold(draws))
                if draws > 1:
                    vote = Rule("majority", draws)
                    answer = vote.combine(answer, draws) if self.votes else average(answer, draws, known=True)
                answer = self.headed(answer, rows)
            answers.append(answer)
        if not answers:
            return Decision(torch.empty(0, self.classes, device=x.device))
        return Decision.cat(answers)

    def gradient(self, x: Tensor, objective: Objective, step: int) -> Answer:
        """Loss and gradient at x (N, ...), averaged over the draws of a random target."""
        if self.estimator is None:
            raise NoGradientError("the plan gives this attack no gradient")
        if len(x) == 0:
            none = x.new_zeros(0)
            return Answer(none, torch.zeros_like(x), none, none.bool())
        size = max(1, self.batch // self.draws)
        answers = []
        for start in range(0, len(x), size):
            piece = torch.arange(start, min(start + size, len(x)), device=x.device)
            part = self.select(piece)
            answers.append(part._answer(x[piece], objective.select(piece), step, self.estimator))
        joined = answers[0]
        if len(answers) > 1:
            parts = ("loss", "gradient", "score", "broken")
            joined = Answer(*(torch.cat([getattr(answer, part) for answer in answers]) for part in parts))
        if self.trace is not None:
            self.trace.see(self.rows, joined)
        return joined

    def headed(self, decision: Decision, rows: Tensor) -> Decision:
        """The answer to what is asked of the samples at `rows` (M,)."""
        return decision if self.head is None else self.head(decision, rows)

    def generator(self) -> LocalGenerator:
        """The first stage that declares a generator.

        Raises:
            NoGradientError: there is none.
        """
        return LocalGenerator(self, generative_stage(self.pipeline))

    def _answer(self, x: Tensor, objective: Objective, step: int, estimator: AnyEstimator) -> Answer:
        # Terms of their own units are averaged over the same draws each, and joined after that.
        terms = [self._term(x, term, step, estimator) for term in objective.terms]
        loss, gradient = objective.joined([term.loss for term in terms], [term.gradient for term in terms])
        return replace(terms[0], loss=loss, gradient=gradient)

    def _term(self, x: Tensor, objective: Objective, step: int, estimator: AnyEstimator) -> Answer:
        stream = self.stream.select(self.rows).child(f"{self.phase}/gradient/{step}")
        if isinstance(estimator, Nes | Spsa | FiniteDifferences):
            return questioning.answer(self, x, objective, stream, estimator)
        if estimator.neighbours > 1:
            answer = differentiation.smoothed(self, x, objective, stream, estimator)
        else:
            answer = differentiation.answer(self, x, objective, stream, estimator)
        if estimator.faithful:
            return answer
        judged = questioning.judged(self, x, objective, stream)
        return replace(answer, score=judged.score, broken=judged.broken)

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
