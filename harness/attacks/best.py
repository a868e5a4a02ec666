"""The best point seen so far, for every sample of a problem."""

import torch
from torch import Tensor

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
        """Ask the deployed model about the points x (M, ...) that no gradient question will see any more."""
        if len(index) == 0:
            return
        part = problem.select(index)
        decision = part.target.decide(x, step)
        self.see(index, x, part.goal.score(decision), part.goal.broken(decision))
