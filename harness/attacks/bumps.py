"""The L2 proposals of the Square attack: pairs of bumps, and perturbation moved from one window to another.

Source: Andriushchenko, Croce, Flammarion and Hein 2020, "Square Attack", section 3.3 and algorithm 3.
"""

import math

import torch
from torch import Tensor

from ..geometry import per_sample
from ..target import Problem

_TINY = 1e-12


def first_bumps(problem: Problem, x: Tensor) -> Tensor:
    """A 5 x 5 tiling of bumps with random signs, scaled to eps, (n, C, H, W)."""
    _, channels, height, width = x.shape
    h, w = max(1, height // 5), max(1, width // 5)
    down, right = -(-height // h), -(-width // w)
    signs = problem.stream.child("tiles").signs(0, (channels, down, 1, right, 1))
    tile = bump(h, w, split_rows=h >= w, device=x.device)
    tiles = (signs * tile[None, None, None, :, None, :]).flatten(4, 5).flatten(2, 3)
    return rescaled(problem, x, tiles[:, :, :height, :width])


def bumped(problem: Problem, x: Tensor, best: Tensor, draw: Tensor, area: float) -> Tensor:
    """Each best point with the perturbation of a second window moved into a first one, (n, C, H, W).

    `draw` holds uniform numbers (n, 5 + C): two places, an orientation, a sign per channel.
    """
    _, channels, height, width = x.shape
    h, w = _odd(area, height, width)
    delta = best - x
    size = delta.flatten(1).square().sum(dim=1)
    first, second = (_inside(draw[:, i : i + 2], (h, w), (height, width)) for i in (0, 2))
    inside = (first | second)[:, None]
    moved = (delta * inside).flatten(1).square().sum(dim=1)
    signs = (draw[:, 5:] >= 0.5).to(x.dtype) * 2 - 1
    by_rows, by_columns = (bump(h, w, split_rows=split, device=x.device) for split in (True, False))
    eta = torch.where(per_sample(draw[:, 4] < 0.5, x), by_rows, by_columns) * signs[:, :, None, None]
    chosen = first[:, None].expand_as(delta)
    old = delta[chosen].view(-1, channels, h, w)
    new = eta + old / (_TINY + _length(old))
    eps = problem.ball.eps.square()
    budget = ((eps - size).clamp(min=0) / channels + moved).sqrt()
    delta.masked_fill_(inside, 0.0)
    delta[chosen] = (new / (_TINY + _length(new)) * per_sample(budget, x)).flatten()
    return rescaled(problem, x, delta)


def rescaled(problem: Problem, x: Tensor, delta: Tensor) -> Tensor:
    """x + delta stretched to the length eps, cut to the box, (n, C, H, W)."""
    length = per_sample(delta.flatten(1).norm(dim=1), x)
    points = x + delta / (_TINY + length) * per_sample(problem.ball.eps, x)
    return problem.ball.clip(points.reshape(problem.x.shape)).view(x.shape)


def bump(height: int, width: int, *, split_rows: bool, device: torch.device) -> Tensor:
    """A positive half and a negative half of concentric rectangles, of unit length, (height, width)."""
    if (split_rows and height > 1) or width == 1:
        half = height // 2
        parts = [_rectangles(half, width, device), -_rectangles(height - half, width, device)]
        eta = torch.cat(parts, dim=0)
    else:
        half = width // 2
        parts = [_rectangles(height, half, device), -_rectangles(height, width - half, device)]
        eta = torch.cat(parts, dim=1)
    length: Tensor = torch.linalg.vector_norm(eta)
    return eta / length.clamp(min=_TINY)


def _rectangles(height: int, width: int, device: torch.device) -> Tensor:
    """Sums of 1 / k^2 over rectangles that grow from the middle, of unit length."""
    values = torch.zeros(height, width, device=device)
    if values.numel() == 0:
        return values
    for k in range(max(height, width) // 2 + 1):
        top, left = height // 2 - k, width // 2 - k
        rows, columns = slice(max(top, 0), top + 2 * k + 1), slice(max(left, 0), left + 2 * k + 1)
        values[rows, columns] += 1.0 / (k + 1) ** 2
    length: Tensor = torch.linalg.vector_norm(values)
    return values / length


def _odd(area: float, height: int, width: int) -> tuple[int, int]:
    """Odd sides of at least 3 where they fit."""
    side = max(3, round(math.sqrt(area))) | 1
    h, w = min(side, height), min(side, width)
    if h < side:
        w = min(max(3, round(area / h)) | 1, width)
    elif w < side:
        h = min(max(3, round(area / w)) | 1, height)
    return h, w


def _inside(draw: Tensor, size: tuple[int, int], limit: tuple[int, int]) -> Tensor:
    """Windows of one size at random places as masks, (n, H, W)."""
    masks = []
    for i in (0, 1):
        start = (draw[:, i] * (limit[i] - size[i] + 1)).to(torch.int64)[:, None]
        place = torch.arange(limit[i], device=draw.device)
        masks.append((place >= start) & (place < start + size[i]))
    return masks[0][:, :, None] & masks[1][:, None, :]


def _length(values: Tensor) -> Tensor:
    return values.square().sum(dim=(2, 3), keepdim=True).sqrt()
