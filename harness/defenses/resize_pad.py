"""Random resizing and padding at inference.

Source: Xie et al. 2018, "Mitigating adversarial effects through randomization", section 3. They enlarge to a bigger
canvas; here the image shrinks inside its own canvas, so that any third-party model with a fixed input can stand behind.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from ..stage import Surrogate
from .spec import FrontStage
from .window import drawn, sampled


class ResizePad(FrontStage):
    """Shrink each image to a random size (bilinear) and zero-pad it back at a random place."""

    defense: Literal["resize-pad"] = "resize-pad"
    smallest: float = Field(0.8, gt=0, lt=1, description="smallest side, as a share of the original")

    random: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate(
        "exact", "bilinear sampling and padding are differentiable for every draw"
    )

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1], each sample with its own size and offset, whole pixels both."""
        height, width = self.images(x).shape[2:]
        rows = self._sources(*drawn(stream.child("y"), stream, height, self.smallest), height)
        columns = self._sources(*drawn(stream.child("x"), stream, width, self.smallest), width)
        return sampled(x, rows, columns)

    def resampled(self, x: Tensor, stream: Stream) -> Tensor:
        """The stage itself: it is linear."""
        return self.forward(x, stream)

    def _sources(self, side: Tensor, offset: Tensor, length: int) -> Tensor:
        """Where each output position reads from, from -1 to 1 across the image; beyond is padding, (N, length)."""
        position = torch.arange(length, device=side.device)[None, :] + 0.5
        return 2 * (position - offset[:, None]) / side[:, None] - 1
