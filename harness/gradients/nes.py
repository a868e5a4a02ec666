"""Natural evolution strategies: antithetic Gaussian directions, the same draws of a random target for both ends.

Source: Ilyas et al. 2018, "Black-box adversarial attacks with limited queries", section 2. Deviation: at the walls of
the box the displacement that is left counts, divided by its own variance, so that black and white pixels are neither
damped nor favoured.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..geometry import per_sample
from ..randomness import Stream
from .asking import Ask, averaged
from .spec import EstimatorConfig


class Nes(EstimatorConfig):
    """The slope of the deployed loss smoothed by a Gaussian."""

    kind: Literal["nes"] = "nes"
    directions: int = Field(50, ge=1, description="antithetic pairs per gradient question")
    size: float | None = Field(
        None, gt=0, description="standard deviation in [0, 1] pixel units; None: the radius, at least one quantum"
    )

    def queries(self, features: int) -> int:  # noqa: ARG002
        """Both ends of every direction."""
        return 2 * self.directions


def estimate(config: Nes, ask: Ask, x: Tensor, stream: Stream, size: Tensor) -> Tensor:
    """The gradient (N, ...) at x (N, ...) in [0, 1], by steps of standard deviation `size` (N,).

    Unbiased for a linear loss, and away from the walls for a quadratic one. With n directions and D features the
    squared error is about (D + 1) / n times the squared gradient.
    """
    shape, sigma = tuple(x.shape[1:]), per_sample(size, x)

    def draw(block: int, m: int) -> Tensor:
        return stream.normal(block, (m, *shape)).mul_(sigma[:, None])

    return averaged(ask, x, draw, count=config.directions, moment=variance(x, sigma))


def variance(x: Tensor, sigma: Tensor) -> Tensor:
    """E[d^2] of d = clip(x + sigma u) - clip(x - sigma u) for standard normal u, per feature of x (N, ...)."""
    scale = sigma.double()
    narrow = torch.minimum(x, 1 - x).double().clamp(min=0) / scale
    wide = torch.maximum(x, 1 - x).double() / scale
    both = _product(narrow, narrow) + _product(wide, wide) + 2 * _product(narrow, wide)
    return (both * scale.square()).to(x.dtype)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """E[min(|u|, a) min(|u|, b)] for standard normal u and limits a <= b."""
    below = torch.erf(a / math.sqrt(2)) - 2 * a * _density(a)
    return below + 2 * a * (_density(a) - _density(b)) + a * b * torch.erfc(b / math.sqrt(2))


def _density(u: Tensor) -> Tensor:
    return torch.exp(-0.5 * u.square()) / math.sqrt(2 * math.pi)
