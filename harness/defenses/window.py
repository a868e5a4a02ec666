"""Random windows of an image, and bilinear sampling at one place per row and column."""

import torch
from torch import Tensor
from torch.nn import functional

from ..randomness import Stream


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
