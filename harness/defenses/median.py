"""Median filter.

Source: Xu et al. 2018, "Feature squeezing", section III-B (windows of 2 and 3, reflected at the border).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from ..stage import Surrogate
from ..straight_through import straight_through
from .spec import FrontStage


class Median(FrontStage):
    """Replace every pixel by the median of a square window around it."""

    defense: Literal["median"] = "median"
    size: int = Field(3, ge=2, le=15, description="side of the window, in pixels")

    random: ClassVar[bool] = False
    surrogate: ClassVar[Surrogate] = Surrogate(
        "exact", "a median is continuous and moves with the pixel in the middle of the order; pixels that tie share it"
    )

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002 - deterministic
        """Pixels (N, C, H, W) in [0, 1]; of an even number the upper median, mirrored at the border, as in scipy.

        Where pixels tie (a flat background), any of them may be the median: each takes an equal share of the gradient,
        so that an attack sees all of them. A window with a NaN has none.
        """
        windows = self._windows(self.images(x))
        values = windows.detach()
        middle = values.kthvalue(self.size**2 // 2 + 1, dim=-1).values
        middle = torch.where(values.isnan().any(dim=-1), torch.full_like(middle, torch.nan), middle)
        if not windows.requires_grad:
            return middle
        ties = (values == middle[..., None]).to(x.dtype)
        shares = ties / ties.sum(dim=-1, keepdim=True).clamp(min=1)
        return straight_through(middle, (shares * windows).sum(dim=-1))

    def _windows(self, x: Tensor) -> Tensor:
        """The window of every pixel, (N, C, H, W, size * size); it reaches one pixel further up and left if even."""
        rows, columns = (_reflected(length, self.size, x.device) for length in x.shape[2:])
        padded = x[:, :, rows][:, :, :, columns]
        return padded.unfold(2, self.size, 1).unfold(3, self.size, 1).flatten(4)


def _reflected(length: int, size: int, device: torch.device) -> Tensor:
    """Where positions from -(size // 2) on read from when the image is mirrored at its border, d c b a | a b c d."""
    before = size // 2
    position = torch.arange(-before, length + size - 1 - before, device=device) % (2 * length)
    return torch.where(position < length, position, 2 * length - 1 - position)
