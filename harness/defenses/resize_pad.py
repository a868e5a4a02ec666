"""Random resizing and padding at inference.

Source: Xie et al. 2018, "Mitigating adversarial effects through randomization", section 3. They enlarge to a bigger
canvas; here the image shrinks inside its own canvas, so that any third-party model with a fixed input can stand behind.
"""

from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from ..errors import UsageError
from ..pipeline import Surrogate
from ..randomness import Stream


class ResizePad(BaseModel):
    """Shrink each image to a random size (bilinear) and zero-pad it back at a random place."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    defense: Literal["resize-pad"] = "resize-pad"
    smallest: float = Field(0.8, gt=0, lt=1, description="smallest side, as a share of the original")

    random: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate(
        "exact", "bilinear sampling and padding are differentiable for every draw"
    )

    @property
    def label(self) -> str:
        """As a user writes it."""
        return f"resize-pad:smallest={self.smallest:g}"

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1], each sample with its own size and offset, whole pixels both.

        Raises:
            UsageError: the samples are no images.
        """
        if x.dim() != 4:
            raise UsageError(f"defense resize-pad needs images (N, C, H, W), these samples are {tuple(x.shape[1:])}")
        height, width = x.shape[2:]
        size_y, offset_y = self._axis(stream.child("y"), stream, height)
        size_x, offset_x = self._axis(stream.child("x"), stream, width)
        grid_y = self._sources(size_y, offset_y, height)
        grid_x = self._sources(size_x, offset_x, width)
        n = len(x)
        grid = torch.stack(
            [grid_x[:, None, :].expand(n, height, width), grid_y[:, :, None].expand(n, height, width)], dim=-1
        )
        inside = ((grid.abs() <= 1).all(dim=-1))[:, None]
        sampled = functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return torch.where(inside, sampled, torch.zeros_like(sampled))

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:
        """The stage itself: its surrogate is exact."""
        return self.forward(x, stream)

    def _axis(self, place: Stream, size: Stream, length: int) -> tuple[Tensor, Tensor]:
        """A side length (the same share on both axes) and an offset, in whole pixels, (N,) each."""
        low = max(1, round(self.smallest * length))
        share = size.uniform(0, (1,))[:, 0]
        side = (low + (share * (length + 1 - low)).floor()).clamp(max=length)
        offset = (place.uniform(1, (1,))[:, 0] * (length + 1 - side)).floor()
        return side, offset

    def _sources(self, side: Tensor, offset: Tensor, length: int) -> Tensor:
        """Where each output position reads from, in grid_sample units; beyond [-1, 1] is padding, (N, length)."""
        position = torch.arange(length, device=side.device)[None, :] + 0.5
        return 2 * (position - offset[:, None]) / side[:, None] - 1
