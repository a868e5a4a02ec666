"""Gaussian noise on the pixels at inference.

Source: Cohen et al. 2019, "Certified adversarial robustness via randomized smoothing", section 2 (with the rules
`majority: k` and `mean: k` this stage is their smoothed classifier, without its certificate).
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from ..stage import Surrogate
from .spec import FrontStage


class GaussianNoise(FrontStage):
    """Add independent Gaussian noise to every pixel; nothing is clipped, so pixels may leave [0, 1]."""

    defense: Literal["gaussian-noise"] = "gaussian-noise"
    sigma: float = Field(0.1, gt=0, le=10, description="standard deviation, in pixels from 0 to 1")

    random: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate("exact", "adding noise passes the gradient on as it is")

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1], plus noise."""
        return self.images(x) + self.sigma * stream.normal(0, tuple(x.shape[1:])).to(x.dtype)
