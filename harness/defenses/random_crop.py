"""Random cropping at inference.

Source: Guo et al. 2018, "Countering adversarial images using input transformations", section 3 and 5 (30 crops,
predictions averaged: the rule `mean: 30`). They crop 90 of 224 pixels and hand a smaller image on; here the crop is
enlarged to the size of the input, so that any third-party model with a fixed input can stand behind.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..stage import Surrogate
from .window import WindowStage


class RandomCrop(WindowStage):
    """Cut a random window out of each image and enlarge it (bilinear) to the size of the image."""

    defense: Literal["random-crop"] = "random-crop"
    smallest: float = Field(0.7, gt=0, lt=1, description="smallest side of the window, as a share of the original")

    surrogate: ClassVar[Surrogate] = Surrogate("exact", "cropping and bilinear sampling are linear for every draw")

    def _sources(self, side: Tensor, offset: Tensor, length: int) -> Tensor:
        """Where each output position reads from, within its window, from -1 to 1 across the image, (N, length)."""
        side, offset = side.double()[:, None], offset.double()[:, None]
        centre = torch.arange(length, dtype=torch.float64, device=side.device)[None, :] + 0.5
        position = (offset + centre * side / length - 0.5).maximum(offset).minimum(offset + side - 1)
        return (2 * position + 1) / length - 1
