"""Fewer bits per pixel.

Source: Xu et al. 2018, "Feature squeezing", section III-A; Guo et al. 2018, "Countering adversarial images using input
transformations", section 3 (3 bits).
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from ..stage import Surrogate
from .spec import FrontStage


class BitDepth(FrontStage):
    """Round every pixel to the nearest of 2**bits equidistant values."""

    defense: Literal["bit-depth"] = "bit-depth"
    bits: int = Field(3, ge=1, le=16, description="bits that are left of every pixel")

    random: ClassVar[bool] = False
    surrogate: ClassVar[Surrogate] = Surrogate(
        "identity", "rounding has zero gradient almost everywhere, and no pixel moves by more than half a level"
    )

    @property
    def quantum(self) -> float:
        """The distance of two levels: a pixel that moves by as much comes out another."""
        return 1 / self._steps

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002 - deterministic
        """Pixels (N, C, H, W) in [0, 1]; half a level goes to the even one, as in numpy."""
        return (self.images(x).detach() * self._steps).round() / self._steps

    @property
    def _steps(self) -> int:
        return (1 << self.bits) - 1
