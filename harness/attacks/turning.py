"""From one boundary point to a closer one: turning around the sample towards the boundary's normal."""

import math

import torch
from torch import Tensor

from .boundary import Rows, unit

_SHRINKS = (0.0015, 0.006, 0.025, 0.1)
_REACHES = (0.1, 0.3, 1.0, 3.0)
_RAY_BISECTIONS = 4
_CIRCLE_BISECTIONS = 10
_COARSE_RAY, _COARSE_CIRCLE = 3, 6
STEP_COST = {"l2": _CIRCLE_BISECTIONS, "linf": len(_SHRINKS) * len(_REACHES) + _RAY_BISECTIONS}
"""Queries per row that `advance` makes."""
COARSE_COST = {"l2": _COARSE_CIRCLE, "linf": len(_SHRINKS) * len(_REACHES) + _COARSE_RAY}
"""The same where it is told to be coarse."""


def advance(
    rows: Rows, point: Tensor, direction: Tensor, reach: Tensor, *, coarse: bool = False
) -> tuple[Tensor, Tensor]:
    """Broken points (M, D) at most as far as `point`, found by turning towards `direction`, and the next reach.

    Args:
        coarse: bisect less, because further halves would follow the noise of a random target.
    """
    size = rows.size(point)
    if rows.problem.ball.norm == "l2":
        moved = _circle(rows, point, direction, size, _COARSE_CIRCLE if coarse else _CIRCLE_BISECTIONS)
    else:
        moved, reach = _rays(rows, point, direction, size, reach, _COARSE_RAY if coarse else _RAY_BISECTIONS)
    closer = rows.size(moved) <= size
    return torch.where(closer[:, None], moved, point), reach


def _circle(rows: Rows, point: Tensor, direction: Tensor, size: Tensor, steps: int) -> Tensor:
    """Bisect the half circle over x and the point, in the plane of the direction.

    A flat boundary through `point` cuts it exactly at the projection of x (Thales), however noisy the direction's
    length; noise across the plane averages out, because the point remembers what earlier rounds learnt.

    Source: Reza et al. 2023, "CGBA: curvature-aware geometric black-box attack".
    """
    radial = (point - rows.x) / size[:, None].clamp(min=1e-30)
    blocked = ((point <= rows.lower) & (direction < 0)) | ((point >= rows.upper) & (direction > 0))
    free = torch.where(blocked, torch.zeros_like(direction), direction)
    across = unit(free - (free * radial).sum(dim=1, keepdim=True) * radial)

    def path(angle: Tensor) -> Tensor:
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return rows.clip(rows.x + size[:, None] * cos * (cos * radial + sin * across))

    start = torch.zeros_like(size)
    return rows.bisect(path, point, start, start + math.pi / 2, steps=steps)


def _rays(
    rows: Rows, point: Tensor, direction: Tensor, size: Tensor, reach: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Ask along a few rays between the point's and the sign vector's at a few smaller radii, in one call; bisect.

    A ray is clamp(ray of the point + reach * direction): what the direction is sure of saturates first. The rays
    tried are multiples of the reach that worked last.
    """
    count, features = point.shape
    scale = size[:, None].clamp(min=1e-30)
    radial = (point - rows.x) / scale
    spread = direction / direction.abs().mean(dim=1, keepdim=True).clamp(min=1e-30)
    tried = reach[:, None] * torch.tensor(_REACHES, device=point.device)
    rays = (radial[:, None] + tried[:, :, None] * spread[:, None]).clamp(-1, 1)
    kept = 1 - torch.tensor(_SHRINKS, device=point.device)
    points = rows.x[:, None, None] + (scale * kept)[:, None, :, None] * rays[:, :, None]
    hit = rows.broken(rows.clip(points.view(count, -1, features))).view(count, len(_REACHES), len(_SHRINKS))
    depth = torch.where(hit, torch.arange(1, len(_SHRINKS) + 1, device=point.device), 0)
    # Among rays that allow the same radius, the farthest.
    rank = (depth.amax(dim=2) * len(_REACHES) + torch.arange(len(_REACHES), device=point.device)).argmax(dim=1)
    each = torch.arange(count, device=point.device)
    deepest = depth[each, rank].amax(dim=1)
    ray, found = rays[each, rank], deepest > 0
    radii = torch.cat([torch.ones(1, device=point.device), kept, torch.full((1,), 0.4, device=point.device)])

    def path(radius: Tensor) -> Tensor:
        return rows.clip(rows.x + (radius * size)[:, None] * ray)

    shrunk = torch.where(found[:, None], path(radii[deepest]), point)
    moved = rows.bisect(path, shrunk, radii[deepest], radii[deepest + 1], steps=steps)
    following = torch.where(found, tried[each, rank], reach * 0.7).clamp(1e-3, 20.0)
    return moved, following
