"""Random images, of which some may be broken: where a walk along the boundary can begin."""

import math

import torch
from torch import Tensor

from ..target import Problem
from .boundary import Rows

TRIES_PER_ROUND = 16


def first_tries(problem: Problem, count: int, round_: int) -> Tensor:
    """Random images (N, count, D): uniform, corners of the box, blocks, and the sample under growing noise."""
    rows = Rows.of(problem)
    shape = tuple(problem.x.shape[1:])
    draws = problem.stream.child("start").uniform(round_, (count, *shape))
    kind = torch.arange(count, device=draws.device) % 4
    blocks = draws[:, kind == 2]
    for dim in range(max(2, draws.dim() - 2), draws.dim()):
        length = draws.shape[dim]
        side = max(1, length // 4)
        blocks = blocks.index_select(dim, torch.arange(length, device=draws.device) // side * side)
    draws[:, kind == 2] = blocks
    images = draws.flatten(2)
    images[:, kind == 1] = (images[:, kind == 1] > 0.5).to(images.dtype)
    images = rows.lower[:, None] + images * (rows.upper - rows.lower)[:, None]
    noisy = kind == 3
    strength = torch.linspace(0.2, 1.0, int(noisy.sum()), device=draws.device)[None, :, None]
    images[:, noisy] = rows.x[:, None] + strength * (images[:, noisy] - rows.x[:, None])
    return rows.clip(images)


def closest_tries(rows: Rows, images: Tensor, hit: Tensor, count: int) -> Tensor:
    """The `count` closest broken images of each sample (N * count, D), sample-major; the first again if fewer broke."""
    sizes = torch.stack([rows.size(images[:, j]) for j in range(images.shape[1])], dim=1)
    sizes = torch.where(hit, sizes, torch.full_like(sizes, math.inf))
    order = sizes.argsort(dim=1, stable=True)[:, :count]
    order = torch.where(sizes.gather(1, order).isfinite(), order, order[:, :1])
    return images.gather(1, order[:, :, None].expand(-1, -1, images.shape[2])).flatten(0, 1)
