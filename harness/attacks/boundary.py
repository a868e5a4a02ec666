"""A decision boundary seen through answers that say only "broken" or "not": questions, bisections, normals."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..decision import Decision, Goal
from ..geometry import norms, per_sample
from ..target import Problem
from .standing import balance

# Numbers in one question: 16 MB of float32, thousands of MNIST-sized points, and still in reach of a cache.
CHUNK = 2**22

Path = Callable[[Tensor], Tensor]
"""Places (M,) on M paths -> points (M, D)."""


@dataclass
class Rows:
    """M searches, flattened: `x`, `lower`, `upper` are (M, D). A sample may be searched by several rows."""

    problem: Problem
    x: Tensor
    lower: Tensor
    upper: Tensor
    asked: int = 0
    """Questions so far; keys the draws of a random target."""

    @classmethod
    def of(cls, problem: Problem) -> "Rows":
        """One row per sample of the problem."""
        shape = problem.x.shape
        low, high = problem.ball.lower.expand(shape), problem.ball.upper.expand(shape)
        return cls(problem, problem.x.flatten(1), low.flatten(1), high.flatten(1))

    def select(self, index: Tensor) -> "Rows":
        """The rows at `index`."""
        return replace(
            self, problem=self.problem.select(index), x=self.x[index], lower=self.lower[index], upper=self.upper[index]
        )

    def clip(self, points: Tensor) -> Tensor:
        """The nearest points of the box to (M, D) or (M, Q, D)."""
        shape = (len(self.x), *([1] * (points.dim() - 2)), -1)
        return torch.minimum(torch.maximum(points, self.lower.view(shape)), self.upper.view(shape))

    def size(self, points: Tensor) -> Tensor:
        """The distance of points (M, D) from x, (M,)."""
        return norms(points - self.x, self.problem.ball.norm)

    def broken(self, points: Tensor) -> Tensor:
        """Which of points (M, Q, D) are breaks, (M, Q): one query each."""
        return self._ask(points, Goal.broken, torch.bool)

    def votes(self, points: Tensor) -> Tensor:
        """How the draws of a random target voted on points (M, Q, D), broken less right, (M, Q) in [-1, 1]."""
        return self._ask(points, _vote, points.dtype)

    def _ask(self, points: Tensor, read: Callable[[Goal, Decision], Tensor], dtype: torch.dtype) -> Tensor:
        rows, queries, features = points.shape
        answers = torch.empty(rows, queries, dtype=dtype, device=points.device)
        width = max(1, CHUNK // features)
        height = max(1, width // max(1, queries))
        for first in range(0, queries, width):
            # The key depends on the sample's own history alone, not on how many rows share the call.
            self.asked += 1
            for top in range(0, rows, height):
                piece = points[top : top + height, first : first + width]
                count = piece.shape[1]
                index = torch.arange(top, top + len(piece), device=points.device).repeat_interleave(count)
                inputs = piece.reshape(-1, *self.problem.x.shape[1:])
                decision = self.problem.target.select(index).decide(inputs, self.asked)
                found = read(self.problem.goal.select(index), decision)
                answers[top : top + height, first : first + width] = found.view(-1, count)
        return answers

    def bisect(
        self, path: Path, points: Tensor, broken: Tensor, unbroken: Tensor, *, steps: int, geometric: bool = False
    ) -> Tensor:
        """The last points (M, D) seen to be broken while halving intervals of the path; `steps` queries per row.

        Returned are points that were asked about, or `points`: the path through them only nearly meets them.
        """
        for _ in range(steps):
            middle = (broken * unbroken).sqrt() if geometric else (broken + unbroken) / 2
            asked = path(middle)
            hit = self.broken(asked[:, None])[:, 0]
            broken, unbroken = torch.where(hit, middle, broken), torch.where(hit, unbroken, middle)
            points = torch.where(hit[:, None], asked, points)
        return points

    def pull(self, points: Tensor, smallest: float, *, steps: int, geometric: bool = False) -> Tensor:
        """The same broken points (M, D) moved straight towards x, to not less than a share of their distance."""

        def blend(share: Tensor) -> Tensor:
            return self.clip(self.x + share[:, None] * (points - self.x))

        one = torch.ones(len(points), device=points.device)
        return self.bisect(blend, points, one, one * smallest, steps=steps, geometric=geometric)


def _vote(goal: Goal, decision: Decision) -> Tensor:
    # Rounded, because a majority's logits also hold a trace of the probabilities.
    share = balance(goal.score(Decision(decision.logits))).mul(100).round().div(100)
    # A majority's rejection score is the rejected share less a half.
    return share if decision.rejection is None else torch.minimum(share, (-2 * decision.rejection).clamp(-1, 1))


Ask = Callable[[Rows, Tensor], Tensor]
"""Rows and points (M, Q, D) -> answers in [-1, 1], (M, Q)."""


def orthonormal(first: int, count: int, features: int, device: torch.device) -> Tensor:
    """Rows first, first + 1, ... (modulo D) of the orthonormal DCT-II matrix, (count, D) float32."""
    place = torch.arange(4 * features, dtype=torch.float64, device=device) * (math.pi / (2 * features))
    table = (place.cos() * math.sqrt(2 / features)).to(torch.float32)
    rows = (torch.arange(count, device=device) + first) % features
    phase = rows[:, None] * (2 * torch.arange(features, device=device) + 1)[None, :] % (4 * features)
    basis = table[phase]
    basis[rows == 0] = 1 / math.sqrt(features)
    return basis


def sides(rows: Rows, points: Tensor) -> Tensor:
    """On which side of the boundary points (M, Q, D) lie: 1 broken, -1 not, (M, Q)."""
    return rows.broken(points).to(torch.float32) * 2 - 1


def normal(rows: Rows, point: Tensor, radius: Tensor, queries: int, round_: int, *, ask: Ask = sides) -> Tensor:
    """An estimate of the boundary's normal at points (M, D), pointing into the broken side, of unit length.

    Deviation from the paper: the directions are blocks of orthonormal cosines under random signs instead of
    independent normal draws. Among D orthogonal directions one direction's noise does not fall on another, which
    gives at D queries the angle that takes 2.8 D independent draws, and costs D random numbers instead of D squared.
    """
    features = point.shape[1]
    width = min(features, max(1, CHUNK // features))
    height = max(1, CHUNK // (min(width, queries) * features))
    signs = rows.problem.stream.child("directions")
    total = torch.zeros(len(point), 2, features, device=point.device)
    agreement = torch.zeros(len(point), device=point.device)
    for done in range(0, queries, width):
        count = min(width, queries - done)
        basis = orthonormal(round_ * queries + done, count, features, point.device)
        asked = rows.asked
        for top in range(0, len(point), height):
            piece = torch.arange(top, min(top + height, len(point)), device=point.device)
            part = replace(rows.select(piece), asked=asked) if len(piece) < len(point) else rows
            flip = signs.select(piece).signs(round_ * 1_000_000 + done, (features,)) * radius[piece, None]
            moves = part.clip(torch.addcmul(point[piece, None], basis, flip[:, None]))
            answer = ask(part, moves)
            weights = torch.stack([answer, torch.ones_like(answer)], dim=1)
            total[piece] += torch.bmm(weights, moves.sub_(point[piece, None]))
            agreement[piece] += answer.sum(dim=1)
            rows.asked = part.asked
    mean = (agreement / queries)[:, None]
    # Answers that all agree say which way to go, not which way the boundary lies.
    direction = torch.where(mean.abs() == 1, total[:, 0], total[:, 0] - mean * total[:, 1])
    return unit(direction)


def unit(direction: Tensor) -> Tensor:
    """The same directions (M, D) with length 1."""
    return direction / per_sample(norms(direction, "l2"), direction).clamp(min=1e-30)
