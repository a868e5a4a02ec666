"""Points inside the ball that surely are adversarial for another question asked of the same model.

A point of the ball is chosen without any gradient, and the question becomes: are the model's scores close to those at
that point? Whoever can follow the model's gradient finds such a place; whoever cannot, does not.

Source: after Zimmermann et al. 2022, "Increasing confidence in adversarial robustness evaluations", section 4. There a
linear layer is fitted on the features of one sample so that a point of its ball is of another class; here the scores
themselves are compared, which needs no features, and difficulty is how closely they have to agree. As there the new
logits have the size of the old ones, so that a loss that saturates on the model saturates on the question too.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..decision import Decision, Goal
from ..geometry import norms, per_sample
from ..randomness import Stream
from ..target import Problem
from ..threat import Ball

CANDIDATES = 12
"""Points tried per sample; the one that moves the scores most is taken."""
_CELLS = (1, 2, 4, 8)
"""Sizes of the squares of one value that patterns on images are made of, in turn."""
_MOST = 1e30
_SPREAD = 2.0
"""Features that an L1 pattern changes, per unit of the radius."""


@dataclass(frozen=True)
class Planted:
    """What lies where, for M samples at `rows` (M,) of the data set; all on the device."""

    rows: Tensor
    points: Tensor
    """Of attack space (M, ...), inside the ball."""
    answers: Tensor
    """The deployed scores at the points (M, K), centred."""
    way: Tensor
    """How far those are from the scores of the clean sample, (M,)."""
    smallest: Tensor
    """The smallest distance of scores that the model can tell, (M,)."""
    floor: float | None = None
    """As in `scores`."""

    def select(self, index: Tensor) -> "Planted":
        """The same for some of the samples."""
        rows, points, answers, way = self.rows[index], self.points[index], self.answers[index], self.way[index]
        return Planted(rows, points, answers, way, self.smallest[index], self.floor)

    def head(self, share: float, count: int) -> "Near":
        """The question whether scores are within `share` of the way, in a data set of `count` samples."""
        place = torch.full((count,), -1, device=self.rows.device)
        place[self.rows] = torch.arange(len(self.rows), device=self.rows.device)
        return Near(place, self.answers, share * self.way, self.floor)


@dataclass(frozen=True)
class Near:
    """Two classes instead of K: 1 where the scores are within `radius` of the planted ones, 0 elsewhere."""

    place: Tensor
    answers: Tensor
    radius: Tensor
    floor: float | None = None
    """As in `scores`."""

    def __call__(self, decision: Decision, rows: Tensor) -> Decision:
        """Logits (M, 2): 0, and by how much the distance of the scores falls short of the radius."""
        at = self.place[rows]
        gap = scores(decision.logits, self.floor) - self.answers[at]
        # Scores of 1e-20 would vanish when squared, ones of 1e20 overflow.
        size = gap.detach().abs().amax(dim=1, keepdim=True).clamp(min=1 / _MOST)
        distance = size[:, 0] * (gap / size).square().sum(dim=1).clamp(min=1e-12).sqrt()
        short = self.radius[at] - distance
        return replace(decision, logits=torch.stack([torch.zeros_like(short), short], dim=1))


def scores(logits: Tensor, floor: float | None = None) -> Tensor:
    """What is compared of logits (M, K): less their mean, finite, as a constant added to all of them changes no answer.

    Args:
        logits: of twin or deployed model.
        floor: where the model answers with probabilities, the logarithm of the smallest that it can tell from zero: the
            twin knows what lies below it and the deployed model does not.
    """
    known = logits.nan_to_num(-_MOST, _MOST, -_MOST).clamp(-_MOST, _MOST)
    if floor is not None:
        return known.log_softmax(dim=1).clamp(min=floor)
    return known - known.mean(dim=1, keepdim=True)


def plant(problem: Problem, rows: Tensor, step: float, slack: float, floor: float | None = None) -> Planted:
    """A point for each sample of the problem that has one: accepted, and its scores differ from the clean ones.

    Args:
        problem: about a target without a draw.
        rows: where its samples are in the data set, (N,).
        step: one quantisation step of the scores, 0 where they have none.
        slack: how much twin and deployed model may differ, in logits.
        floor: as in `scores`.
    """
    target, ball = problem.target, problem.ball
    clean = target.decide(problem.x, 0)
    here = scores(clean.logits, floor)
    best, answers, way = problem.x.clone(), here.clone(), torch.zeros(len(here), device=here.device)
    for number in range(CANDIDATES):
        points = pattern(ball, problem.stream.child("planted"), number)
        seen = target.decide(points, 0)
        there = scores(seen.logits, floor)
        length = norms(there - here, "l2").nan_to_num(0.0, 0.0, 0.0)
        length = torch.where(seen.accepted & ball.contains(points) & ~seen.logits.isnan().any(dim=1), length, 0.0)
        better = length > way
        wide = per_sample(better, best)
        best, way = torch.where(wide, points, best), torch.where(better, length, way)
        answers = torch.where(better[:, None], there, answers)
    rounding = 64 * torch.finfo(torch.float32).eps * here.abs().amax(dim=1)
    smallest = torch.maximum(rounding, torch.full_like(rounding, max(slack, step * here.shape[1] ** 0.5)))
    return Planted(rows.to(way.device), best, answers, way, smallest, floor).select((way > 0).nonzero().squeeze(1))


def pattern(ball: Ball, stream: Stream, number: int) -> Tensor:
    """A point (N, ...) of each ball, somewhere between its middle and its wall, that no gradient had a part in."""
    shape = tuple(ball.x.shape[1:])
    field = _field(stream, number, shape)
    if ball.norm == "linf":
        return ball.project(ball.x + per_sample(ball.eps, ball.x) * field)
    if ball.norm == "l2":
        return ball.project(ball.x + per_sample(ball.eps / norms(field, "l2").clamp(min=1e-12), ball.x) * field)
    few = ball.eps if ball.norm == "l0" else (_SPREAD * ball.eps).ceil().clamp(min=1)
    order = stream.child("which").uniform(number, shape).flatten(1).argsort(dim=1).argsort(dim=1)
    sparse = torch.where((order < few[:, None]).reshape(field.shape), field, 0.0)
    if ball.norm == "l0":
        return ball.project(ball.x + sparse.sign() * ball.reach.reshape(-1, *[1] * len(shape)))
    return ball.project(ball.x + per_sample(ball.eps / norms(sparse, "l1").clamp(min=1e-12), ball.x) * sparse)


def _field(stream: Stream, number: int, shape: tuple[int, ...]) -> Tensor:
    """Values in [-1, 1] (N, *shape), constant on squares where the samples are images."""
    cell = _CELLS[number % len(_CELLS)]
    if len(shape) < 3 or cell == 1:
        return stream.uniform(number, shape, -1.0, 1.0)
    *channels, height, width = shape
    coarse = stream.uniform(number, (*channels, -(-height // cell), -(-width // cell)), -1.0, 1.0)
    fine = coarse.repeat_interleave(cell, dim=-1).repeat_interleave(cell, dim=-2)
    return fine[..., :height, :width]


def goal(count: int, *, targeted: bool, device: str) -> Goal:
    """Away from the class 0 of `Near`, or to its class 1 where the evaluation's goals are targeted."""
    zeros = torch.zeros(count, dtype=torch.int64, device=device)
    return Goal(zeros, zeros + 1 if targeted else None)
