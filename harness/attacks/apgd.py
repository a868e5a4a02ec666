"""Auto-PGD: PGD with momentum whose step halves when progress stalls; untargeted or class by class.

Source: Croce and Hein 2020 (AutoAttack), section 3, algorithm 1; L1: Croce and Hein 2021, section 3.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import LossName, Objective
from ..geometry import per_sample, steepest
from ..losses import finite
from ..target import Answer, Problem
from .apgd_l1 import ascend_l1
from .best import Best
from .dead_gradient import usable
from .diversified import diversified_start
from .momentum import Momentum
from .spec import AttackConfig
from .starts import starts

_MOMENTUM = 0.75
_ENOUGH = 0.75
"""Share of steps in a window that must raise the loss for the step to stay."""


class APGD(AttackConfig):
    """Adaptive step, momentum, return to the best point at each halving."""

    attack: Literal["apgd"] = "apgd"
    loss: LossName = Field("ce", description="what is climbed")
    steps: int = Field(100, ge=1, description="gradient steps per start")
    targets: int = Field(0, ge=0, description="aim at this many wrong classes in turn, likeliest first; 0: untargeted")
    restarts: int = Field(1, ge=1, description="starts per target, each for what still stands")
    start: Literal["random", "diversified"] = Field("random", description="where each restart begins")
    momentum: float = Field(
        0.0, ge=0, le=1, description="share of the accumulated gradient that is kept, beside the inertia of the points"
    )


def apgd(problem: Problem, config: APGD) -> Tensor:
    """Proposals (N, ...) of the best iterate over all targets and restarts."""
    best = Best(problem)
    for start in starts(problem, best, config):
        part, first = start.problem, start.step
        if part.ball.norm == "l1":
            steps, momentum = config.steps, config.momentum
            ascend_l1(part, start.objective, best, start.index, first, steps=steps, momentum=momentum)
            continue
        diversified = config.start == "diversified"
        x = diversified_start(part, first) if diversified else part.ball.random_start(part.stream, first)
        _ascend(part, start.objective, config, best, start.index, x, first + 2)
    return best.proposals()


@dataclass
class _State:
    """What each sample remembers, (N, ...) or (N,)."""

    x: Tensor
    before: Tensor
    best_x: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    last_loss: Tensor
    step: Tensor
    rises: Tensor
    loss_at_checkpoint: Tensor
    reduced: Tensor

    @classmethod
    def begin(cls, x: Tensor, reach: Tensor) -> "_State":
        n, lowest = len(x), torch.full_like(reach, float("-inf"))
        none = torch.zeros(n, device=x.device)
        return cls(
            x,
            x,
            x,
            torch.zeros_like(x),
            lowest,
            lowest,
            2.0 * reach,
            none,
            lowest,
            torch.ones_like(reach, dtype=torch.bool),
        )

    def select(self, index: Tensor) -> "_State":
        return _State(*(getattr(self, f)[index] for f in self.__dataclass_fields__))


def _ascend(
    problem: Problem, objective: Objective, config: APGD, best: Best, index: Tensor, start: Tensor, first: int
) -> None:
    state, momentum = _State.begin(start, problem.ball.reach), Momentum.begin(config.momentum, start)
    checkpoints = _checkpoints(config.steps)
    window_start = 0
    for k in range(config.steps):
        answer = problem.target.gradient(state.x, objective, first + k)
        fell = best.answer(index, state.x, answer, first + k)
        _remember(state, answer)
        if bool(fell.any()):
            keep = (~fell).nonzero().squeeze(1)
            if len(keep) == 0:
                return
            problem, objective, index = problem.select(keep), objective.select(keep), index[keep]
            state, momentum = state.select(keep), momentum.select(keep)
            answer = Answer(answer.loss[keep], answer.gradient[keep], answer.score[keep], answer.broken[keep])
        gradient = answer.gradient
        if k in checkpoints:
            gradient = _shrink(state, gradient, k - window_start)
            momentum.forget(state.reduced)
            window_start = k
        _move(problem, state, momentum(usable(gradient, problem, first + k)), first_step=k == 0)
    best.settle(index, state.x, first + config.steps)


def _remember(state: _State, answer: Answer) -> None:
    loss = finite(answer.loss)
    state.rises = state.rises + (loss > state.last_loss).float()
    state.last_loss = loss
    better = loss > state.best_loss
    wide = per_sample(better, state.x)
    state.best_loss = torch.where(better, loss, state.best_loss)
    state.best_x = torch.where(wide, state.x, state.best_x)
    state.best_gradient = torch.where(wide, answer.gradient, state.best_gradient)


def _move(problem: Problem, state: _State, gradient: Tensor, *, first_step: bool) -> None:
    ball = problem.ball
    size = per_sample(state.step, state.x)
    sparsity = 0.05 * gradient[0].numel() * torch.ones(len(gradient), device=gradient.device)
    ahead = ball.project(state.x + size * steepest(gradient, ball.norm, sparsity))
    share = 1.0 if first_step else _MOMENTUM
    moved = ball.project(state.x + share * (ahead - state.x) + (1 - share) * (state.x - state.before))
    state.before, state.x = state.x, moved


def _shrink(state: _State, gradient: Tensor, window: int) -> Tensor:
    """Halve the step of samples that stall and send them back to their best point; returns the gradient there."""
    stalled = state.rises <= _ENOUGH * window
    flat = ~state.reduced & (state.loss_at_checkpoint >= state.best_loss)
    halve = stalled | flat
    wide = per_sample(halve, state.x)
    state.reduced = halve
    state.loss_at_checkpoint = state.best_loss
    state.step = torch.where(halve, state.step / 2, state.step)
    state.before = torch.where(wide, state.best_x, state.before)
    state.x = torch.where(wide, state.best_x, state.x)
    state.last_loss = torch.where(halve, state.best_loss, state.last_loss)
    state.rises = torch.zeros_like(state.rises)
    return torch.where(wide, state.best_gradient, gradient)


def _checkpoints(steps: int) -> set[int]:
    """The steps at which progress is judged: windows of 22 % of the steps, each 3 % shorter, never under 6 %."""
    window, least, shrink = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
    at, points = 0, set()
    while at < steps:
        at += window
        points.add(at)
        window = max(window - shrink, least)
    return points
