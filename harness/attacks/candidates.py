"""The few points of each sample that scored highest on a random target, and which of them is the best.

Source: selection by the mean over fresh draws as in Tramer et al. 2020, "On adaptive attacks to adversarial example
defenses", section on ME-Net; halving the field as in Karnin et al. 2013, "Almost optimal exploration in multi-armed
bandits".
"""

import torch
from torch import Tensor

from ..losses import finite
from ..target import Problem

KEPT = 5
ROUNDS = ((8, KEPT), (24, 2))
"""Fresh draws, and how many candidates of a sample they are spent on; the last round's winner is proposed."""
_FINALS = 1_000_000_000
"""First step number of the questions that choose; far from those of any step."""


class Candidates:
    """Up to `KEPT` points for each sample like x (N, ...)."""

    def __init__(self, x: Tensor) -> None:
        self.points = x[:, None].repeat(1, KEPT, *([1] * (x.dim() - 1)))
        self.scores = torch.full((len(x), KEPT), float("-inf"), device=x.device)

    def add(self, index: Tensor, x: Tensor, score: Tensor) -> None:
        """Take in points x (M, ...) of the samples at `index` (M,) where they score higher than the lowest kept."""
        lowest, place = self.scores[index].min(dim=1)
        better = score > lowest
        rows, place = index[better], place[better]
        self.points[rows, place] = x[better]
        self.scores[rows, place] = score[better]

    def chosen(self, problem: Problem, index: Tensor) -> Tensor:
        """The best candidates (M, ...) of the samples at `index`: broken most often on draws that found none of them.

        All candidates of a sample meet the same draws. Ties go to the higher mean score.
        """
        points, known = self.points[index], ~self.scores[index].isneginf()
        if bool((known.sum(dim=1) <= 1).all()):
            return points[torch.arange(len(index), device=index.device), self.scores[index].argmax(dim=1)]
        share = torch.zeros_like(self.scores[index])
        score = torch.where(known, share, -torch.inf)
        spent, step = 0, _FINALS
        order = torch.arange(KEPT, device=index.device).expand(len(index), -1)
        for draws, field in ROUNDS:
            for rank in range(field):
                place = order[:, rank : rank + 1]
                some = known.gather(1, place)[:, 0].nonzero().squeeze(1)
                part, mine = problem.select(index[some]), place[some, 0]
                found = asked_again(part, points[some, mine], draws, step)
                for total, new in zip((share, score), found, strict=True):
                    total[some, mine] = (spent * total[some, mine] + draws * new) / (spent + draws)
            spent, step = spent + draws, step + draws
            order = _ranked(share[:, :], score, order[:, :field])
        return points[torch.arange(len(index), device=index.device), order[:, 0]]


def asked_again(problem: Problem, x: Tensor, draws: int, step: int) -> tuple[Tensor, Tensor]:
    """On what share of fresh draws of the deployed target each of x (N, ...) breaks, and its mean score, (N,) each."""
    share, score = torch.zeros(len(x), device=x.device), torch.zeros(len(x), device=x.device)
    for draw in range(draws if len(x) else 0):
        decision = problem.target.decide(x, step + draw)
        share += problem.goal.broken(decision).float()
        score += problem.goal.score(decision)
    return share / draws, finite(score / draws)


def _ranked(share: Tensor, score: Tensor, among: Tensor) -> Tensor:
    """The candidates `among` (N, M) by share, equal ones by score, best first."""
    order = among.gather(1, score.gather(1, among).argsort(dim=1, descending=True, stable=True))
    return order.gather(1, share.gather(1, order).argsort(dim=1, descending=True, stable=True))
