"""Auto-PGD in the L1 ball: sparse steps, a shrinking radius, the exact projection on ball and box.

Source: Croce and Hein 2021, "Mind the box", section 3, algorithm 1 (radii 3, 2, 1 eps for 30, 30, 40 % of steps).
"""

import torch
from torch import Tensor

from ..decision import Objective
from ..geometry import norms, per_sample, steepest
from ..losses import finite
from ..target import Answer, Problem
from .best import Best
from .dead_gradient import usable
from .momentum import Momentum

_FIRST_SPARSITY = 0.2
_SHRINK = 1.5
_LEAST_STEP = 0.1
_SPARSER = 0.95


def ascend_l1(
    problem: Problem, objective: Objective, best: Best, index: Tensor, first: int, *, steps: int, momentum: float
) -> None:
    """One start; whatever is found inside the true radius is reported to `best`."""
    x = problem.ball.with_eps(3 * problem.ball.eps).random_start(problem.stream, first)
    for radius, begin, end in ((3.0, 0.0, 0.3), (2.0, 0.3, 0.6), (1.0, 0.6, 1.0)):
        wide = problem.ball.with_eps(radius * problem.ball.eps)
        inner = Problem(problem.x, problem.goal, wide, problem.target, problem.stream)
        climb = _Climb(inner, objective, wide.project(x), index, momentum)
        count = max(1, round(end * steps) - round(begin * steps))
        x = climb.run(count, best if radius == 1.0 else None, first + 2 + round(begin * steps))


class _Climb:
    """Sparse sign steps in one radius; every step sets the next sparsity and step size by the best point so far."""

    def __init__(self, problem: Problem, objective: Objective, x: Tensor, index: Tensor, momentum: float) -> None:
        self.problem, self.objective, self.index, self.x = problem, objective, index, x
        self.momentum = Momentum.begin(momentum, x)
        self.best_x, self.best_gradient = x.clone(), torch.zeros_like(x)
        self.best_loss = torch.full_like(problem.ball.eps, float("-inf"))
        self.used = torch.full_like(problem.ball.eps, float(x[0].numel()))
        self.sparsity = (_FIRST_SPARSITY * self.used).clamp(min=1)
        self.step = problem.ball.eps.clone()

    def run(self, steps: int, best: Best | None, first: int) -> Tensor:
        """The best points (N, ...) after `steps`; samples that break inside the true radius stand still."""
        alive = torch.ones_like(self.step, dtype=torch.bool)
        for k in range(steps):
            some = alive.nonzero().squeeze(1)
            if len(some) == 0:
                return self.best_x
            part = self.problem.select(some)
            answer = part.target.gradient(self.x[some], self.objective.select(some), first + k)
            if best is not None:
                alive[some] = ~best.answer(self.index[some], self.x[some], answer, first + k)
            self._remember(some, answer)
            gradient = self._adapt(some, answer.gradient) if k > 0 else answer.gradient
            gradient = self.momentum(usable(gradient, part, first + k), some)
            direction = steepest(gradient, "l1", self.sparsity[some].floor())
            moved = self.x[some] + per_sample(self.step[some], direction) * direction
            self.x[some] = part.ball.project(moved)
        last = alive.nonzero().squeeze(1)
        if best is not None:
            best.settle(self.index[last], self.x[last], first + steps)
        return self.best_x

    def _remember(self, some: Tensor, answer: Answer) -> None:
        loss = finite(answer.loss)
        better = loss > self.best_loss[some]
        chosen = some[better]
        self.best_loss[chosen] = loss[better]
        self.best_x[chosen] = self.x[chosen]
        self.best_gradient[chosen] = answer.gradient[better]

    def _adapt(self, some: Tensor, gradient: Tensor) -> Tensor:
        """Where the best point has become sparser: a fresh step from there; elsewhere a smaller step."""
        eps = self.problem.ball.eps[some]
        used = norms(self.best_x[some] - self.problem.x[some], "l0")
        sparser = used < _SPARSER * self.used[some]
        self.used[some] = used
        self.sparsity[some] = (used / _SHRINK).clamp(min=1)
        self.step[some] = torch.where(sparser, eps, (self.step[some] / _SHRINK).clamp(min=_LEAST_STEP * eps))
        wide = per_sample(sparser, gradient)
        self.x[some] = torch.where(wide, self.best_x[some], self.x[some])
        self.momentum.velocity[some] = torch.where(wide, 0.0, self.momentum.velocity[some])
        return torch.where(wide, self.best_gradient[some], gradient)
