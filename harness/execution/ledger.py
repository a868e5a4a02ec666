"""What is known about every sample so far: who stands, who fell to what, and the worst case found."""

import torch
from torch import Tensor

from .refusals import Refusals

CLEAN = "clean"


class Ledger:
    """Per-sample state of one evaluation; tensors on the CPU, one row per sample of the data set."""

    def __init__(self, x: Tensor) -> None:
        n = len(x)
        self.x = x.clone()
        """The worst case found, in model units, as replayed."""
        self.distance = torch.zeros(n, dtype=torch.float64)
        self.clean_prediction = torch.full((n,), -1, dtype=torch.int64)
        self.prediction = torch.full((n,), -1, dtype=torch.int64)
        self.clean_rate = torch.zeros(n, dtype=torch.float64)
        """How often the clean sample is right on the draws that score."""
        self.rate = torch.ones(n, dtype=torch.float64)
        """How often the worst case found is still right: 0 or 1, or a rate for a random target, over draws that select
        until the evaluation has scored it on others."""
        self.score = torch.full((n,), float("-inf"))
        """Best score of any candidate: how close the sample came to falling."""
        self.seen = torch.zeros(n, dtype=torch.bool)
        """Clean pass done, and taken."""
        self.taken = torch.ones(n, dtype=torch.bool)
        """Part of this evaluation so far; samples that are taken in later portions are as if they were not there."""
        self.active = torch.ones(n, dtype=torch.bool)
        """Of those, the ones that attacks are for now."""
        self.attacked = torch.zeros(n, dtype=torch.bool)
        """At least one attack has come to its end on this sample."""
        self.clean_refused = torch.full((n,), torch.nan, dtype=torch.float64)
        """How often the clean sample is rejected; NaN where nothing ever is."""
        self.refusals: Refusals | None = None
        """The scores of a deterministic detector."""
        self.by: list[str | None] = [None] * n
        """The attack that made the worst case found; None while that is the clean sample."""

    @property
    def right(self) -> Tensor:
        """Correct when clean (more often than not, for a random target), (n,)."""
        return self.seen & (self.clean_rate >= 0.5)

    @property
    def attackable(self) -> Tensor:
        """Ever correct when clean, (n,): what an attack can take away, however rarely it is there."""
        return self.seen & (self.clean_rate > 0)

    @property
    def standing(self) -> Tensor:
        """Correct when clean and not yet broken for certain, of those that attacks are for now, (n,)."""
        return self.active & self.attackable & (self.rate > 0)

    @property
    def robust(self) -> float:
        """Sum over samples of how often each is right on its worst case so far."""
        return float(torch.where(self.attackable, self.rate, torch.zeros_like(self.rate)).sum())

    @property
    def share(self) -> float:
        """`robust` among the samples that attacks are for now, as a share of them."""
        held = torch.where(self.attackable & self.active, self.rate, torch.zeros_like(self.rate))
        return float(held.sum()) / max(1, int(self.active.sum()))

    @property
    def unknown(self) -> Tensor:
        """Never judged, or right when clean and never attacked: no evidence of anything, (n,)."""
        return self.taken & (~self.seen | (self.attackable & ~self.attacked))

    @property
    def known(self) -> Tensor:
        """Taken, and not unknown, (n,)."""
        return self.taken & ~self.unknown

    @property
    def rates(self) -> Tensor:
        """How often each sample of which something is known is right on its worst case, in order."""
        return torch.where(self.attackable, self.rate, torch.zeros_like(self.rate))[self.known]

    @property
    def proven(self) -> float:
        """`robust` without the samples of which nothing is known."""
        return float(self.rates.sum())

    def standing_rows(self, closest: float = 1.0, at_least: int = 1, at_most: int | None = None) -> Tensor:
        """Positions of standing samples, in order; a part of them is the part closest to the boundary."""
        rows = self.standing.nonzero().squeeze(1)
        count = max(min(at_least, len(rows)), round(closest * len(rows)))
        count = count if at_most is None else min(count, at_most)
        if count >= len(rows):
            return rows
        order = self.score[rows].argsort(descending=True, stable=True)
        return rows[order[:count]].sort().values

    def record(
        self, rows: Tensor, x: Tensor, distance: Tensor, rate: Tensor, score: Tensor, label: Tensor, by: str
    ) -> int:
        """Take in replayed candidates for the samples at `rows`; returns how many of them newly fell.

        A candidate replaces the worst case when it is right less often, or equally often and closer to falling.
        """
        before = self.rate[rows] < 0.5
        worse = (rate < self.rate[rows]) | ((rate == self.rate[rows]) & (score > self.score[rows]) & (rate > 0))
        chosen = rows[worse]
        for row in chosen.tolist():
            self.by[row] = by
        self.x[chosen] = x[worse]
        self.rate[chosen], self.prediction[chosen] = rate[worse], label[worse]
        self.distance[chosen] = distance[worse]
        self.score[rows] = torch.maximum(self.score[rows], score)
        return int(((self.rate[rows] < 0.5) & ~before).sum())

    def settle(self) -> Tensor:
        """The rows whose worst case is to be scored on fresh draws; of the others the clean sample's score stands.

        Where no attack moved a sample to a worse place, the clean sample is its worst case.
        """
        moved = torch.tensor([by is not None for by in self.by], dtype=torch.bool) & (self.distance > 0)
        still = self.active & ~moved
        self.rate[still], self.prediction[still] = self.clean_rate[still], self.clean_prediction[still]
        self.by = [None if here else by for by, here in zip(self.by, still.tolist(), strict=True)]
        return (self.active & self.attackable & moved).nonzero().squeeze(1)
