"""Random cropping at inference.

Source: Guo et al. 2018, "Countering adversarial images using input transformations", section 3 and 5 (30 crops,
predictions averaged: the rule `mean: 30`). They crop 90 of 224 pixels and hand a smaller image on; here the crop is
enlarged to the size of the input, so that any third-party model with a fixed input can stand behind.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from ..stage import Surrogate
from .spec import FrontStage
from .window import drawn, sampled


class RandomCrop(FrontStage):
    """Cut a random window out of each image and enlarge it (bilinear) to the size of the image."""

    defense: Literal["random-crop"] = "random-crop"
    smallest: float = Field(0.7, gt=0, lt=1, description="smallest side of the window, as a share of the original")

    random: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate("exact", "cropping and bilinear sampling are linear for every draw")

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1], each sample with its own window, whole pixels, the same share on both axes."""
        height, width = self.images(x).shape[2:]
        rows = self._sources(*drawn(stream.child("y"), stream, height, self.smallest), height)
        columns = self._sources(*drawn(stream.child("x"), stream, width, self.smallest), width)
        return sampled(x, rows, columns)

    def resampled(self, x: Tensor, stream: Stream) -> Tensor:
        """The stage itself: it is linear."""
        return self.forward(x, stream)

    def _sources(self, side: Tensor, offset: Tensor, length: int) -> Tensor:
        """Where each output position reads from, within its window, from -1 to 1 across the image, (N, length)."""
        side, offset = side.double()[:, None], offset.double()[:, None]
        centre = torch.arange(length, dtype=torch.float64, device=side.device)[None, :] + 0.5
        position = (offset + centre * side / length - 0.5).maximum(offset).minimum(offset + side - 1)
        return (2 * position + 1) / length - 1
