"""Where the output of Resize lies on its input, one axis at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..node import UntranslatableError


@dataclass(frozen=True)
class Axis:
    """One dimension of the input and what becomes of it."""

    transform: str
    size: int
    length: int
    scale: float
    start: float = 0.0
    end: float = 1.0
    """The part that tf_crop_and_resize keeps, of the distance from the first to the last pixel."""

    @property
    def untouched(self) -> bool:
        """Whether nothing happens to it."""
        return self.length == self.size and self.scale == 1.0 and (self.start, self.end) == (0.0, 1.0)

    def source(self) -> Tensor:
        """Where each output position lies on the input.

        Raises: UntranslatableError.
        """
        place = torch.arange(self.length, dtype=torch.float32)
        if self.transform == "align_corners":
            return place * ((self.size - 1) / (self.length - 1)) if self.length > 1 else place * 0
        if self.transform == "asymmetric":
            return place / self.scale
        if self.transform == "tf_half_pixel_for_nn":
            return (place + 0.5) / self.scale
        if self.transform == "tf_crop_and_resize":
            if self.length == 1:
                return place + 0.5 * (self.start + self.end) * (self.size - 1)
            step = (self.end - self.start) * (self.size - 1) / (self.length - 1)
            return self.start * (self.size - 1) + place * step
        if self.transform == "pytorch_half_pixel" and self.length == 1:
            return place * 0
        if self.transform == "half_pixel_symmetric":
            shift = self.size / 2 * (1 - self.length / (self.scale * self.size))
            return shift + (place + 0.5) / self.scale - 0.5
        if self.transform in ("half_pixel", "pytorch_half_pixel"):
            return (place + 0.5) / self.scale - 0.5
        raise UntranslatableError(f"Resize with coordinates {self.transform!r}")

    def outside(self) -> Tensor:
        """Which output positions lie beyond the input."""
        place = self.source()
        return (place < 0) | (place > self.size - 1)
