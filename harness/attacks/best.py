"""The best point seen so far, for every sample of a problem."""

import torch
from torch import Tensor

from ..decision import Objective
from ..target import Answer, Problem
from .candidates import Candidates, asked_again

CONFIRMING = 20
"""Fresh draws on all of which a point has to break, beside those of the gradient, before its sample is left alone."""
ASKING = 8
"""Draws behind one opinion of the deployed target on a point that came with no answer."""
_DRAWS = 1_000_000
_EACH = 100
"""Step numbers of these draws begin far from those of any step, and each step has room for some."""


class Best:
    """Keeps, per sample, the point with the highest score; any iterate that breaks counts, the last one included.

    The score of a random target is a mean over a few draws, and the highest of a hundred of them is luck: there the
    few highest are kept, and fresh draws choose among them. Nor is a sample left alone before fresh draws say so.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.x = problem.x.clone()
        self.score = torch.full((len(problem.x),), float("-inf"), device=problem.x.device)
        self.broken = torch.zeros(len(problem.x), dtype=torch.bool, device=problem.x.device)
        self.candidates = Candidates(problem.x) if problem.target.random else None

    def see(self, index: Tensor, x: Tensor, score: Tensor, broken: Tensor) -> None:
        """Take in points x (M, ...) for the samples at positions `index` (M,)."""
        better = score > self.score[index]
        if self.candidates is not None:
            self.candidates.add(index, x, score)
            better = broken & ~self.broken[index]
        chosen = index[better]
        self.x[chosen] = x[better]
        self.score[chosen] = score[better]
        self.broken[index] |= broken

    def answer(self, index: Tensor, x: Tensor, answer: Answer, step: int) -> Tensor:
        """Take in the points x (M, ...) that an answer is about; returns which samples are broken now, (M,).

        Where the twin answered NaN the deployed model is asked: if it too has no answer, that is a break.
        """
        self.see(index, x, answer.score, self._confirmed(index, x, answer.broken, step))
        lost = answer.score.isneginf().nonzero().squeeze(1)
        if len(lost) and not self.problem.target.random:
            rows = index[lost]
            part = self.problem.select(rows)
            decision = part.target.decide(x[lost], step)
            self.see(rows, x[lost], part.goal.score(decision), part.goal.broken(decision))
        return self.broken[index]

    def settle(self, index: Tensor, x: Tensor, step: int) -> None:
        """Ask about the last points x (M, ...) of M samples at positions `index`, which no step will see."""
        if self.candidates is None or len(index) == 0:
            self.ask(index, x, step)
            return
        # A gradient question is answered with the mean over as many draws as the other candidates were judged by.
        part = self.problem.select(index)
        self.answer(index, x, part.target.gradient(x, Objective("margin", part.goal), step), step)

    def ask(self, index: Tensor, x: Tensor, step: int) -> None:
        """Ask the deployed target about points x (M, ...) for the samples at positions `index` (M,)."""
        if len(index) == 0:
            return
        part = self.problem.select(index)
        if self.candidates is None:
            decision = part.target.decide(x, step)
            self.see(index, x, part.goal.score(decision), part.goal.broken(decision))
            return
        share, score = asked_again(part, x, ASKING, _DRAWS + _EACH * step + CONFIRMING)
        self.see(index, x, score, self._confirmed(index, x, share >= 1, step))

    def proposals(self) -> Tensor:
        """What the attack found, (N, ...); asks a random target about its candidates."""
        if self.candidates is None:
            return self.x
        left = (~self.broken).nonzero().squeeze(1)
        if len(left):
            self.x[left] = self.candidates.chosen(self.problem, left)
        return self.x

    def _confirmed(self, index: Tensor, x: Tensor, broken: Tensor, step: int) -> Tensor:
        """Which of the points that seem broken stay so on fresh draws of the deployed target, (M,)."""
        if self.candidates is None or not bool(broken.any()):
            return broken
        some = broken.nonzero().squeeze(1)
        part = self.problem.select(index[some])
        share, _ = asked_again(part, x[some], CONFIRMING, _DRAWS + _EACH * step)
        return broken.index_put((some,), share >= 1)
