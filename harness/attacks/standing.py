"""What a search on a random target holds on to: points asked about again on fresh draws, so that luck is forgotten.

Within a block of questions every point of a sample meets the same draws (one `step`), so a change is compared with its
incumbent on equal terms. From block to block the draws change, and the incumbent's score with them.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..target import Problem

KEPT = 4
"""Points per sample of which one is proposed."""
SETTLED = 0.95
"""A balance beyond which next to all draws are broken."""
_STREAK = 5
_ROUNDS = 5
_SHORTEST, _LONGEST = 5, 20


def block(number: int) -> int:
    """How many questions block `number` = 1, 2, ... has on the same draws, the incumbent's included."""
    return min(_SHORTEST + number, _LONGEST)


def rounds(queries: int) -> int:
    """How often each kept point is asked about at the end: a twentieth of the queries at most."""
    return min(_ROUNDS, queries // (20 * KEPT))


def balance(score: Tensor) -> Tensor:
    """(p_wrong - p_right) / (p_wrong + p_right) from the difference of their logarithms, in [-1, 1]."""
    return torch.tanh(score / 2)


@dataclass
class Standing:
    """The best points (n, KEPT, ...) of n searches by what fresh draws said of them; the first is the incumbent."""

    points: Tensor
    total: Tensor
    """Sums of balances, (n, KEPT)."""
    count: Tensor
    streak: Tensor
    """Blocks in a row that found the incumbent broken on next to all draws, (n,)."""

    @classmethod
    def begin(cls, points: Tensor, value: Tensor) -> "Standing":
        """From the samples themselves (n, ...) and their balances (n,)."""
        kept = points[:, None].repeat(1, KEPT, *([1] * (points.dim() - 1)))
        total = value[:, None].repeat(1, KEPT)
        return cls(kept, total, torch.ones_like(total), torch.zeros_like(value))

    def select(self, rows: Tensor) -> "Standing":
        """The searches at `rows`."""
        return Standing(*(getattr(self, f.name)[rows] for f in fields(self)))

    def recheck(self, points: Tensor, value: Tensor) -> Tensor:
        """Take in the incumbents (n, ...) and their balances (n,) on draws that chose none of them.

        Returns which searches are over, (n,): many fresh draws in a row, and next to none was right.
        """
        new = (points != self.points[:, 0]).flatten(1).any(dim=1)
        mean = self.total / self.count
        worst = mean[:, 1:].argmin(dim=1) + 1
        retired = (new & (mean[:, 0] > mean.gather(1, worst[:, None])[:, 0])).nonzero()[:, 0]
        for kept in (self.points, self.total, self.count):
            kept[retired, worst[retired]] = kept[retired, 0]
        self.points[new, 0] = points[new]
        self.total[:, 0] = torch.where(new, value, self.total[:, 0] + value)
        self.count[:, 0] = torch.where(new, 1.0, self.count[:, 0] + 1)
        self.streak = torch.where(value > SETTLED, self.streak + 1, torch.zeros_like(self.streak))
        return self.streak >= _STREAK

    def choose(self, problem: Problem, step: int, times: int) -> Tensor:
        """The kept points (n, ...) with the best mean over `times` fresh answers each; `step` and later ones are free.

        Without questions left, what was heard so far decides.
        """
        mean = self.total / self.count
        if times > 0:
            mean = torch.zeros_like(mean)
            for turn in range(step, step + times):
                for place in range(KEPT):
                    points = self.points[:, place].reshape(problem.x.shape)
                    mean[:, place] += balance(problem.goal.score(problem.target.decide(points, turn)))
        return self.points[torch.arange(len(mean), device=mean.device), mean.argmax(dim=1)]
