"""Gradients from deployed answers alone, and how long the steps between the questions are."""

import torch
from torch import Tensor

from ..randomness import Stream
from . import finite_differences, nes, spsa
from .asking import Ask
from .finite_differences import FiniteDifferences
from .nes import Nes
from .spec import EstimatorConfig
from .spsa import Spsa

LEAST_STEP = 1e-4
"""Below it the answers of a float32 network differ by rounding."""
_MOST_STEP = 0.5
_CORNER_STEP = 0.01
_SHARE_OF_RADIUS = 0.1


def estimate(config: EstimatorConfig, ask: Ask, x: Tensor, stream: Stream, size: Tensor) -> Tensor:
    """The gradient (N, ...) of what `ask` answers at x (N, ...) in [0, 1], by steps of `size` (N,).

    Rows are independent: a target that answers with single draws may fold them in, K rows per sample with directions
    and draws of their own, and average the K gradients; that is worth K times as many directions.

    Raises:
        TypeError: the estimator needs a backward pass.
    """
    if isinstance(config, FiniteDifferences):
        return finite_differences.estimate(config, ask, x, stream, size)
    if isinstance(config, Nes):
        return nes.estimate(config, ask, x, stream, size)
    if isinstance(config, Spsa):
        return spsa.estimate(config, ask, x, stream, size)
    raise TypeError(f"{config.label} asks no questions: its gradients are backward passes")


def resolve_size(config: EstimatorConfig, radius: Tensor, quantum: float) -> Tensor:
    """The step (N,) of an estimator in [0, 1] pixel units.

    A step shorter than `quantum`, the smallest change that surely shows, would meet the same level again and see no
    slope, so even a size that the suite fixes is raised to it.

    Args:
        config: an estimator that asks questions.
        radius: how far a single feature may typically move (N,).
        quantum: 0 where any change may show.
    """
    fixed: float | None = getattr(config, "size", None)
    if fixed is not None:
        size = torch.full_like(radius, fixed)
    elif isinstance(config, Nes):
        size = radius.clamp(max=_MOST_STEP)
    elif isinstance(config, FiniteDifferences):
        size = (_SHARE_OF_RADIUS * radius).clamp(max=_MOST_STEP)
    else:
        size = torch.full_like(radius, _CORNER_STEP)
    return size.clamp(min=max(quantum, LEAST_STEP))
