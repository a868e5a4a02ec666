"""Points around the data: where attacks will ask, as far as one can know beforehand."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..randomness import Stream

_BLOCKS = 4
"""Of one sign, along each side of an image."""


def offsets(stream: Stream, shape: tuple[int, ...]) -> Tensor:
    """Directions (N, *shape) in [-1, 1]: uniform, a random sign per feature, or random signs in blocks of an image.

    Half of them reach the corners of the cube, the others a random share of the way.
    """
    uniform, signs = stream.uniform(0, shape, -1.0, 1.0), stream.child("signs").signs(0, shape)
    kind = stream.child("kind").integers(0, (), 3 if len(shape) == 3 else 2)
    kind = kind.reshape(-1, *[1] * len(shape))
    chosen = torch.where(kind == 0, uniform, signs)
    if len(shape) == 3:
        chosen = torch.where(kind == 2, _blocks(stream.child("blocks"), shape), chosen)
    size = (2 * stream.child("size").uniform(0, ())).clamp(max=1.0)
    return chosen * size.reshape(kind.shape)


def nearby(x: Tensor, radius: Tensor, stream: Stream) -> Tensor:
    """x (N, ...) moved by up to `radius`, which broadcasts to it."""
    return x + radius * offsets(stream, tuple(x.shape[1:])).to(x.dtype)


def held_out(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Positions to train on and to measure on: a fifth of the samples, at most 200, is measured on.

    One sample alone is both.
    """
    ids = torch.arange(samples)
    order = Stream.create(seed, "held-out", ids).keys.argsort(stable=True)
    count = min(200, math.ceil(samples / 5))
    measured = order[:count].sort().values
    return (order[count:].sort().values if samples > 1 else ids), measured


def _blocks(stream: Stream, shape: tuple[int, ...]) -> Tensor:
    channels, height, width = shape
    coarse = stream.signs(0, (channels, min(_BLOCKS, height), min(_BLOCKS, width)))
    return functional.interpolate(coarse, (height, width), mode="nearest")
