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
    refused: Tensor | None = None
    """How often the answer was a refusal, over the draws; None where nothing is ever rejected."""
    rejection: Tensor | None = None
    """Where one answer decides and it may be a refusal: its score, float64, rejected above 0; -inf for NaN."""


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
        """Judge x (M, ...) for the samples at `rows`; `clean` asks for right answers rather than for breaks.

        One draw is one answer of the product by its declared rule, however many passes that takes.
        """
        draws = draws if self.pipeline.random else 1
        size = max(1, self.batch // self.pipeline.draws)
        pieces = []
        for start in range(0, len(x), size):
            piece = torch.arange(start, min(start + size, len(x)))
            part = goal.select(piece)
            rights, scores, labels, refusals = [], [], [], []
            for draw in range(draws):
                decision = self._ask(x[piece], rows[piece], phase, f"{key}/{draw}")
                rights.append(part.right(decision) if clean else ~part.broken(decision))
                scores.append(finite(part.score(decision)))
                labels.append(decision.labels)
                refusals.append(~decision.accepted)
            rate = torch.stack(rights).sum(dim=0).double() / draws
            label, mean = torch.stack(labels).mode(dim=0).values, torch.stack(scores).mean(dim=0)
            refused = torch.stack(refusals).double().mean(dim=0) if self.pipeline.rejects else None
            pieces.append(Replayed(rate, mean, label, refused, _raw(decision) if draws == 1 else None))
        if not pieces:
            none = torch.empty(0)
            return Replayed(none.double(), none, none.long())
        names = [name for name, value in vars(pieces[0]).items() if value is not None]
        return Replayed(**{name: torch.cat([getattr(piece, name) for piece in pieces]) for name in names})

    def _ask(self, x: Tensor, rows: Tensor, phase: Phase, key: str) -> Decision:
        self.meter.count(phase, rows, forward=self.pipeline.draws)
        stream = self.stream.select(rows.to(self.stream.keys.device)).child(key)
        with torch.no_grad():
            decision = self.pipeline.decide(x.to(self.device), stream)
        rejection = None if decision.rejection is None else decision.rejection.cpu()
        return Decision(decision.logits.float().cpu(), rejection)


def _raw(decision: Decision) -> Tensor | None:
    """The rejection score of one answer; a score that is no number is accepted whatever the threshold."""
    if decision.rejection is None:
        return None
    return torch.where(decision.rejection.isnan(), -torch.inf, decision.rejection.double())
