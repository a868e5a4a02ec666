"""Auto-PGD in the L1 ball: sparse steps, a shrinking radius, the exact projection on ball and box.

Source: Croce and Hein 2021, "Mind the box", section 3, algorithm 1 (radii 3, 2, 1 eps for 30, 30, 40 % of steps).
"""

import torch
from torch import Tensor

from ..decision import Objective
from ..geometry import norms, per_sample, steepest
from ..losses import finite
from ..target import Problem
from .best import Best
from .dead_gradient import usable

_FIRST_SPARSITY = 0.2
_SHRINK = 1.5
_LEAST_STEP = 0.1


def ascend_l1(problem: Problem, objective: Objective, steps: int, best: Best, index: Tensor, first: int) -> None:
    """One start; whatever is found inside the true radius is reported to `best`."""
    eps = problem.ball.eps
    x = problem.ball.with_eps(3 * eps).random_start(problem.stream, first)
    for number, (radius, share) in enumerate(((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))):
        wide = problem.ball.with_eps(radius * problem.ball.eps)
        inner = Problem(problem.x, problem.goal, wide, problem.target, problem.stream)
        x = wide.project(x)
        record = best if radius == 1.0 else None
        count = max(1, round(share * steps))
        x = _phase(inner, objective, count, record, index, x, first + 2 + number * steps)


def _phase(
    problem: Problem, objective: Objective, steps: int, best: Best | None, index: Tensor, x: Tensor, first: int
) -> Tensor:
    eps, size = problem.ball.eps, x[0].numel()
    best_x, best_loss = x, torch.full_like(eps, float("-inf"))
    sparsity = torch.full_like(eps, max(1.0, _FIRST_SPARSITY * size))
    before, step = sparsity * 1.0, eps * 1.0
    every = max(1, round(0.1 * steps))
    alive = torch.ones_like(eps, dtype=torch.bool)
    for k in range(steps):
        # Samples that are broken inside the true radius stand still; the others pay.
        some = alive.nonzero().squeeze(1)
        if len(some) == 0:
            return best_x
        part = problem.select(some)
        answer = part.target.gradient(x[some], objective.select(some), first + k)
        if best is not None:
            best.answer(index[some], x[some], answer)
            alive[some] = ~answer.broken
        loss = finite(answer.loss)
        better = loss > best_loss[some]
        best_loss[some] = torch.where(better, loss, best_loss[some])
        best_x = best_x.clone()
        best_x[some] = torch.where(per_sample(better, x[some]), x[some], best_x[some])
        if k > 0 and k % every == 0:
            sparsity, step, before, x = _adapt(problem, x, best_x, before, step)
        gradient = usable(answer.gradient, part, first + k)
        moved = x[some] + per_sample(step[some], x[some]) * steepest(gradient, "l1", sparsity[some])
        x = x.clone()
        x[some] = part.ball.project(moved)
    if best is not None:
        last = alive.nonzero().squeeze(1)
        best.settle(problem.select(last), index[last], x[last], first + steps)
    return best_x


def _adapt(
    problem: Problem, x: Tensor, best_x: Tensor, before: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """New sparsity from the best point, and either a fresh step from there or a smaller one."""
    eps = problem.ball.eps
    used = norms(best_x - problem.x, "l0")
    sparser = used < 0.95 * before
    sparsity = (used / _SHRINK).clamp(min=1)
    step = torch.where(sparser, eps, step / _SHRINK).clamp(min=eps * _LEAST_STEP, max=eps)
    return sparsity, step, used, torch.where(per_sample(sparser, x), best_x, x)
