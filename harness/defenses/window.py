"""Random windows of an image, and bilinear sampling at one place per row and column."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..randomness import Stream
from .spec import FrontStage


class WindowStage(FrontStage):
    """A random window per sample, the same share on both axes, whole pixels; linear for every draw."""

    smallest: float
    random: ClassVar[bool] = True

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1], each sample with its own size and offset."""
        height, width = self.images(x).shape[2:]
        rows = self._sources(*drawn(stream.child("y"), stream, height, self.smallest), height)
        columns = self._sources(*drawn(stream.child("x"), stream, width, self.smallest), width)
        return sampled(x, rows, columns)

    def resampled(self, x: Tensor, stream: Stream) -> Tensor:
        """The stage itself: it is linear."""
        return self.forward(x, stream)

    @abstractmethod
    def _sources(self, side: Tensor, offset: Tensor, length: int) -> Tensor:
        """Where each output position reads from, from -1 to 1 across the image, (N, length)."""


def drawn(place: Stream, size: Stream, length: int, smallest: float) -> tuple[Tensor, Tensor]:
    """A side of at least the share `smallest` of `length`, and an offset that keeps it inside: whole pixels, (N,) each.

    Axes that share the stream `size` get the same share.
    """
    low = max(1, round(smallest * length))
    share = size.uniform(0, (1,))[:, 0]
    side = (low + (share * (length + 1 - low)).floor()).clamp(max=length)
    offset = (place.uniform(1, (1,))[:, 0] * (length + 1 - side)).floor()
    return side, offset


def sampled(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x (N, C, H, W) read at rows (N, H') and columns (N, W'), which count from -1 to 1 across the image.

    The outer pixels reach up to there; what lies beyond -1 or 1 is 0.
    """
    # Half precision is too coarse for a place in a large image.
    pixels = x if x.dtype == torch.float64 else x.float()
    n, height, width = len(x), rows.shape[1], columns.shape[1]
    places = [columns[:, None, :].expand(n, height, width), rows[:, :, None].expand(n, height, width)]
    grid = torch.stack(places, dim=-1).to(pixels.dtype)
    inside = ((grid.abs() <= 1).all(dim=-1))[:, None]
    read = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.where(inside, read, torch.zeros_like(read)).to(x.dtype)
