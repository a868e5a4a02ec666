"""The best point seen so far, for every sample of a problem."""

import torch
from torch import Tensor

from ..decision import Objective
from ..target import Answer, Problem


class Best:
    """Keeps, per sample, the point with the highest score; any iterate that breaks counts, the last one included."""

    def __init__(self, problem: Problem) -> None:
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

    def answer(self, index: Tensor, x: Tensor, answer: Answer) -> None:
        """Take in the points x (M, ...) that an answer is about."""
        self.see(index, x, answer.score, answer.broken)

    def settle(self, problem: Problem, index: Tensor, x: Tensor, step: int) -> None:
        """Ask about the last points x (M, ...) of M samples at positions `index`, which no step will see."""
        if len(index) == 0:
            return
        if problem.target.random:
            # One draw of the deployed model would choose points by luck; a gradient question averages over draws.
            self.answer(index, x, problem.target.gradient(x, Objective("margin", problem.goal), step))
            return
        decision = problem.target.decide(x, step)
        self.see(index, x, problem.goal.score(decision), problem.goal.broken(decision))
