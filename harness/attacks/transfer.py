"""Points crafted on another model, judged on the target.

Source: Szegedy et al. 2014; Papernot et al. 2017; the settings (momentum, many steps, a confident margin) as in
Dong et al. 2018, section 3.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import Objective
from ..geometry import per_sample, steepest
from ..target import Problem
from .best import Best
from .dead_gradient import usable
from .momentum import Momentum
from .spec import AttackConfig


class Transfer(AttackConfig):
    """MI-FGSM on a source that the evaluation provides: the bare model without its defenses, a surrogate trained on the
    data, or a student trained on the target's answers."""

    attack: Literal["transfer"] = "transfer"
    source: Literal["twin", "surrogate", "student"] = Field("surrogate", description="what the points are crafted on")
    steps: int = Field(50, ge=1, description="gradient steps on the source")
    momentum: float = Field(1.0, ge=0, le=1, description="share of the accumulated gradient that is kept")


def transfer(problem: Problem, config: Transfer) -> Tensor:
    """Proposals (N, ...): the iterate that the source gets most wrong; `problem.target` answers for the source."""
    best, ball = Best(problem), problem.ball
    if len(problem.x) == 0:
        return best.x
    everyone = torch.arange(len(problem.x), device=problem.x.device)
    objective = Objective("margin", problem.goal)
    x, momentum = ball.random_start(problem.stream, 0), Momentum.begin(config.momentum, problem.x)
    for k in range(config.steps + 1):
        answer = problem.target.gradient(x, objective, k)
        best.see(everyone, x, answer.score, answer.broken)
        direction = momentum(usable(answer.gradient, problem, k))
        size = per_sample(2.5 * ball.reach / config.steps, x)
        sparsity = 0.05 * x[0].numel() * torch.ones(len(x), device=x.device)
        x = ball.project(x + size * steepest(direction, ball.norm, sparsity))
    return best.proposals()
