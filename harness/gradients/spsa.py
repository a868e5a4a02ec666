"""Simultaneous perturbation: all features at once by random signs.

Source: Spall 1992; Uesato et al. 2018, "Adversarial risk and the dangers of evaluating against weak attacks", sec. 4.
Deviation: at the walls of the box the displacement that is left counts, not the one that was meant.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..geometry import per_sample
from ..randomness import Stream
from .asking import Ask, averaged
from .spec import EstimatorConfig


class Spsa(EstimatorConfig):
    """The slope of the deployed loss along random corners."""

    kind: Literal["spsa"] = "spsa"
    directions: int = Field(50, ge=1, description="pairs of opposite corners per gradient question")
    size: float | None = Field(None, gt=0, description="step in [0, 1] pixel units; None: 0.01, at least one quantum")

    def queries(self, features: int) -> int:  # noqa: ARG002
        """Both ends of every direction."""
        return 2 * self.directions


def estimate(config: Spsa, ask: Ask, x: Tensor, stream: Stream, size: Tensor) -> Tensor:
    """The gradient (N, ...) at x (N, ...) in [0, 1], by steps of `size` (N,) in every feature.

    Unbiased for a linear loss, and away from the walls for a quadratic one. With n directions and D features the
    squared error is about (D - 1) / n times the squared gradient.
    """
    shape, step = tuple(x.shape[1:]), per_sample(size, x)

    def draw(block: int, m: int) -> Tensor:
        return stream.signs(block, (m, *shape)).mul_(step[:, None])

    left = torch.minimum(step, 1 - x) + torch.minimum(step, x)
    return averaged(ask, x, draw, count=config.directions, moment=left.square())
