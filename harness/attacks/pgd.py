"""Projected gradient descent, untargeted or class by class.

Source: Madry et al. 2018, section 2.1; the margin loss with a cosine step from the full radius as in Liu et al. 2022
(adaptive auto attack), section 3.3; class by class as Gowal et al. 2019, section 3; the diversified start as Tashiro et
al. 2020, section 3.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import LossName, Objective
from ..geometry import per_sample, steepest
from ..target import Problem
from .best import Best
from .dead_gradient import usable
from .diversified import diversified_start
from .momentum import Momentum
from .spec import AttackConfig
from .starts import starts


class PGD(AttackConfig):
    """Steps along the gradient, each projected on the ball and the box."""

    attack: Literal["pgd"] = "pgd"
    loss: LossName = Field("margin", description="what is climbed")
    steps: int = Field(40, ge=1, description="gradient steps per restart")
    step_size: float | None = Field(None, gt=0, description="as a share of eps; None: cosine from 1 to 0")
    start: Literal["sample", "random", "diversified"] = Field(
        "random", description="where the first restart begins; later ones begin at random at least"
    )
    targets: int = Field(0, ge=0, description="aim at this many wrong classes in turn, likeliest first; 0: untargeted")
    restarts: int = Field(1, ge=1, description="starts per target, each for what still stands")
    momentum: float = Field(0.0, ge=0, le=1, description="share of the accumulated gradient that is kept")


def pgd(problem: Problem, config: PGD) -> Tensor:
    """Proposals (N, ...) of the best iterate over all targets and restarts."""
    best = Best(problem)
    for start in starts(problem, best, config):
        x = _first_point(start.problem, config, start.number, start.step)
        _climb(start.problem, start.objective, config, best, start.index, x, start.step)
    return best.proposals()


def _first_point(problem: Problem, config: PGD, restart: int, step: int) -> Tensor:
    if config.start == "sample" and restart == 0:
        return problem.x
    if config.start == "diversified":
        return diversified_start(problem, step)
    return problem.ball.random_start(problem.stream, step)


def _climb(
    problem: Problem, objective: Objective, config: PGD, best: Best, index: Tensor, x: Tensor, first: int
) -> None:
    momentum = Momentum.begin(config.momentum, x)
    for k in range(config.steps):
        answer = problem.target.gradient(x, objective, first + 2 + k)
        fell = best.answer(index, x, answer, first + 2 + k)
        # A zero or NaN gradient still moves: a random direction is a better question than the same one again.
        gradient = momentum(usable(answer.gradient, problem, first + k))
        size = step_size(config, k)
        sparsity = 0.05 * gradient[0].numel() * torch.ones(len(x), device=x.device)
        x = problem.ball.project(
            x + size * per_sample(problem.ball.reach, x) * steepest(gradient, problem.ball.norm, sparsity)
        )
        lost = answer.score.isneginf()
        if bool(lost.any()):
            # No slope leads out of a region of NaN: begin somewhere else.
            x = torch.where(per_sample(lost, x), problem.ball.random_start(problem.stream.child("lost"), first + k), x)
        if bool(fell.any()):
            keep = (~fell).nonzero().squeeze(1)
            problem, objective, index = problem.select(keep), objective.select(keep), index[keep]
            x, momentum = x[keep], momentum.select(keep)
            if len(keep) == 0:
                return
    best.settle(index, x, first)


def step_size(config: PGD, k: int) -> float:
    """The step as a share of eps."""
    if config.step_size is not None:
        return config.step_size
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * k / config.steps))
