"""Samples whose gradient is zero or not finite still move."""

import torch
from torch import Tensor

from ..geometry import per_sample
from ..losses import finite
from ..target import Problem


def usable(gradient: Tensor, problem: Problem, step: int) -> Tensor:
    """The gradient (N, ...), with random signs in place of samples where it is zero or not finite.

    A random direction is a better next question than the same point again.
    """
    size = finite(gradient.flatten(1).abs().sum(dim=1))
    dead = ~(size.isfinite() & (size > 0))
    if not bool(dead.any()):
        return gradient
    noise = problem.stream.child("dead gradient").signs(step, tuple(gradient.shape[1:]))
    return torch.where(per_sample(dead, gradient), noise, gradient)
