"""The best point seen so far, for every sample of a problem."""

import torch
from torch import Tensor

from ..decision import Objective
from ..target import Answer, Problem


class Best:
    """Keeps, per sample, the point with the highest score; any iterate that breaks counts, the last one included."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.x = problem.x.clone()
        self.score = torch.full((len(problem.x),), float("-inf"), device=problem.x.device)
        self.broken = torch.zeros(len(problem.x), dtype=torch.bool, device=problem.x.device)

    def see(self, index: Tensor, x: Tensor, score: Tensor, broken: Tensor) -> None:
        """Take in points x (M, ...) for the samples at positions `index` (M,)."""
        better = score > self.score[index]
        chosen = index[better]
        self.x[chosen] = x[better]
        self.score[chosen] = score[better]
        self.broken[index] |= broken

    def answer(self, index: Tensor, x: Tensor, answer: Answer, step: int) -> Tensor:
        """Take in the points x (M, ...) that an answer is about; returns which samples are broken now, (M,).

        Where the twin answered NaN the deployed model is asked: if it too has no answer, that is a break.
        """
        self.see(index, x, answer.score, answer.broken)
        lost = answer.score.isneginf().nonzero().squeeze(1)
        if len(lost) and not self.problem.target.random:
            rows = index[lost]
            part = self.problem.select(rows)
            decision = part.target.decide(x[lost], step)
            self.see(rows, x[lost], part.goal.score(decision), part.goal.broken(decision))
        return self.broken[index]

    def settle(self, problem: Problem, index: Tensor, x: Tensor, step: int) -> None:
        """Ask about the last points x (M, ...) of M samples at positions `index`, which no step will see."""
        if len(index) == 0:
            return
        if problem.target.random:
            # One draw of the deployed model would choose points by luck; a gradient question averages over draws.
            self.answer(index, x, problem.target.gradient(x, Objective("margin", problem.goal), step), step)
            return
        decision = problem.target.decide(x, step)
        self.see(index, x, problem.goal.score(decision), problem.goal.broken(decision))
