"""Thermometer encoding.

Source: Buckman et al. 2018, "Thermometer encoding: one hot way to resist adversarial examples", section 3; its stand-in
after Athalye, Carlini and Wagner 2018, section 5.1.1. Their ramp is one level wide and ends where the switch is, so a
pixel just above one cannot see it; this one reaches one level to both sides, which makes the stronger attack.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from ..stage import Surrogate
from .spec import FrontStage


class Thermometer(FrontStage):
    """Turn every pixel into a column of switches, the j-th of which is on from j / levels upwards."""

    defense: Literal["thermometer"] = "thermometer"
    levels: int = Field(10, ge=2, le=256, description="switches per channel; the first of them is always on")

    random: ClassVar[bool] = False
    reshapes: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate(
        "named", "switches have no gradient; each is replaced by a ramp across it, one level to each side"
    )

    @property
    def quantum(self) -> float:
        """The distance of two switches."""
        return 1 / self.levels

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002 - deterministic
        """Pixels (N, C, H, W) in [0, 1] to switches (N, C * levels, H, W) of 0 and 1, those of one channel together."""
        pixels = self.images(x).detach()[:, :, None]
        on = (pixels >= self._numbers(x) / self.levels).to(x.dtype)
        return torch.where(pixels.isnan(), pixels, on).flatten(1, 2)

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        """Ramps: the j-th is (levels * x - j + 1) / 2, between 0 and 1."""
        pixels = self.images(x)[:, :, None]
        return ((self.levels * pixels - self._numbers(x) + 1) / 2).clamp(0, 1).flatten(1, 2)

    def _numbers(self, x: Tensor) -> Tensor:
        return torch.arange(self.levels, dtype=x.dtype, device=x.device)[:, None, None]
