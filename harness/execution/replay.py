"""Every candidate is judged here, on the deployed forward, and nowhere else."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..decision import Decision, Goal
from ..losses import finite
from ..pipeline import Pipeline
from ..randomness import Stream
from ..results import Phase
from .meter import Meter


@dataclass(frozen=True)
class Replayed:
    """The deployed answers to M candidates, (M,) each, on the CPU."""

    rate: Tensor
    """How often the answer was right (targeted: not the target), over the draws."""
    score: Tensor
    """Mean score over the draws."""
    label: Tensor
    """The commonest prediction, -1 for none."""


@dataclass(frozen=True)
class Replay:
    """Asks the deployed pipeline about points in model units, with draws that no attack has seen."""

    pipeline: Pipeline
    stream: Stream
    """Keys for the whole data set, kept apart from every attack's."""
    meter: Meter
    batch: int
    device: str

    def __call__(
        self, x: Tensor, rows: Tensor, goal: Goal, *, phase: Phase, draws: int, key: str, clean: bool
    ) -> Replayed:
        """Judge x (M, ...) for the samples at `rows`; `clean` asks for right answers rather than for breaks."""
        draws = draws if self.pipeline.random else 1
        rates, scores, labels = [], [], []
        for start in range(0, len(x), self.batch):
            piece = torch.arange(start, min(start + self.batch, len(x)))
            seen = [self._ask(x[piece], rows[piece], phase, f"{key}/{draw}") for draw in range(draws)]
            part = goal.select(piece)
            wrong = [~part.right(d) if clean else part.broken(d) for d in seen]
            rates.append(1 - torch.stack(wrong).double().mean(dim=0))
            scores.append(torch.stack([finite(part.score(d)) for d in seen]).mean(dim=0))
            labels.append(torch.stack([d.labels for d in seen]).mode(dim=0).values)
        if not rates:
            none = torch.empty(0)
            return Replayed(none.double(), none, none.long())
        return Replayed(torch.cat(rates), torch.cat(scores), torch.cat(labels))

    def _ask(self, x: Tensor, rows: Tensor, phase: Phase, key: str) -> Decision:
        self.meter.count(phase, rows, forward=1)
        stream = self.stream.select(rows.to(self.stream.keys.device)).child(key)
        with torch.no_grad():
            decision = self.pipeline.decide(x.to(self.device), stream)
        rejection = None if decision.rejection is None else decision.rejection.cpu()
        return Decision(decision.logits.float().cpu(), rejection)
