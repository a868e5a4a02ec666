"""Two forwards that draw random numbers: whether their answers have the same mean and the same spread."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

DRAWS = 32
_ERRORS = 5.0


def sampled(answer: Callable[[], Tensor], draws: int = DRAWS) -> Tensor:
    """(draws, ...) answers."""
    return torch.stack([answer().detach().cpu().double() for _ in range(draws)])


def _errors(count: int) -> float:
    """How many standard errors are chance: five, and more where very many numbers are compared."""
    return max(_ERRORS, 1.1 * math.sqrt(2 * math.log(1e4 * max(count, 1))))


def _beyond(a: Tensor, b: Tensor) -> Tensor:
    """How far the means over the first dimension are apart beyond chance."""
    error = ((a.var(0) + b.var(0)) / len(a)).sqrt()
    return ((a.mean(0) - b.mean(0)).abs() - _errors(error.numel()) * error).clamp(min=0)


def apart(a: Tensor, b: Tensor) -> float:
    """Largest difference of means or standard deviations that chance does not explain; (draws, ...) each.

    Infinite where an answer is not finite.
    """
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return math.inf
    if not a.numel():
        return 0.0
    squares = [(each - each.mean(0)).square() for each in (a, b)]
    # one deviation for all numbers together shows differences that are too small for each alone
    pooled = [each.flatten(1).mean(1, keepdim=True) for each in squares]
    found = [_beyond(a, b), _widths(*squares), _widths(*pooled)]
    return max(float(each.max()) for each in found)


def _widths(a: Tensor, b: Tensor) -> Tensor:
    """How far standard deviations are apart beyond chance; squares of deviations are given."""
    width = a.mean(0).sqrt() + b.mean(0).sqrt()
    return torch.where(width > 0, _beyond(a, b) / width, torch.zeros_like(width))
