"""The fast gradient sign method: one step; a diagnostic, and a cheap first sweep.

Source: Goodfellow et al. 2015, section 4; with `random_start`: Tramer et al. 2018, section 4.1 (R+FGSM, alpha = eps/2).
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import LossName, Objective
from ..geometry import per_sample, steepest
from ..target import Problem
from .best import Best
from .dead_gradient import usable
from .spec import AttackConfig


class FGSM(AttackConfig):
    """One step of the full radius (half of it after a random start)."""

    attack: Literal["fgsm"] = "fgsm"
    loss: LossName = Field("ce", description="what is climbed")
    random_start: bool = Field(False, description="first half of the radius in a random direction")


def fgsm(problem: Problem, config: FGSM) -> Tensor:
    """Proposals (N, ...): the sample itself where one step does not help."""
    best, ball = Best(problem), problem.ball
    everyone = torch.arange(len(problem.x), device=problem.x.device)
    x = problem.x
    if config.random_start:
        x = ball.with_eps(ball.eps / 2).random_start(problem.stream, 0)
    answer = problem.target.gradient(x, Objective(config.loss, problem.goal, guide=problem.guide(0)), 0)
    best.answer(everyone, x, answer, 0)
    gradient = usable(answer.gradient, problem, 0)
    size = per_sample(ball.reach / 2 if config.random_start else ball.reach, x)
    best.settle(everyone, ball.project(x + size * steepest(gradient, ball.norm)), 1)
    return best.proposals()
