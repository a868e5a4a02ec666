"""Output-diversified initialisation.

Source: Tashiro, Song and Ermon 2020, "Diversity can be enhanced by output diversification", section 3 (N_ODI = 2).
"""

import torch
from torch import Tensor

from ..decision import Objective
from ..geometry import per_sample, steepest
from ..target import Problem

_STEPS = 2


def diversified_start(problem: Problem, step: int) -> Tensor:
    """A start per sample that pushes the logits in a random direction w ~ U(-1, 1)^K, (N, ...)."""
    x = problem.ball.random_start(problem.stream, step)
    weights = problem.stream.child("direction").uniform(step, (problem.target.classes,), -1.0, 1.0)
    for k in range(_STEPS):
        answer = problem.target.gradient(x, Objective("ce", problem.goal, weights=weights), step + k)
        gradient = torch.nan_to_num(answer.gradient, 0.0, 0.0, 0.0)
        x = problem.ball.project(x + per_sample(problem.ball.reach, x) * steepest(gradient, problem.ball.norm))
    return x
