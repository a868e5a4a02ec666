"""The 8-bit pixel grid: the points k / 255 of attack space, which is all that an image file can hold."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from .geometry import per_sample
from .threat import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, Ball

LEVELS = 255
Rounding = Literal["nearest", "away", "toward"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "away", "toward")
"""To the nearest level; to the one beyond, seen from the sample; to the one before."""

_SAME = 1e-4
"""Levels this close are one: float32 cannot hold k / 255."""
_HALVINGS = 24


def nearest(z: Tensor) -> Tensor:
    """The nearest grid points to z (N, ...) of attack space."""
    return _value((z.double() * LEVELS).round()).to(z.dtype)


def in_bounds(z: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Model input for the nearest grid points to z: low + (high - low) k / 255, rounded once."""
    level = (z.double() * LEVELS).round()
    return (low.double() + (high.double() - low.double()) * level / LEVELS).to(z.dtype)


def reachable(eps: Tensor, norm: str) -> Tensor:
    """The radii (N,) that matter between grid points: in Linf whole levels, in other norms as they are."""
    if norm != "linf":
        return eps
    return (_level_radius(eps) / LEVELS).to(eps.dtype)


def inner(ball: Ball) -> Ball:
    """The same balls, in Linf with every side at the last grid point inside."""
    if ball.norm != "linf":
        return ball
    x, radius = ball.x.double() * LEVELS, per_sample(_exact_radius(ball.eps), ball.x)
    low, high = _value((x - radius).ceil()), _value((x + radius).floor())
    return replace(ball, lower=torch.maximum(low, ball.lower), upper=torch.minimum(high, ball.upper))


def fitted(ball: Ball, points: Tensor, rounding: Rounding = "nearest") -> Tensor:
    """A grid point in ball and box for each of `points` (N, ...).

    It is the rounded point where that is inside. Where it is not, features go back to the level before, those first
    that lose least for what they save, and if that is not enough the point moves to its sample. A ball whose sample
    lies off the grid may hold no grid point at all: what comes back is then outside, and `ball.contains` says so.
    """
    x, p = ball.x.double() * LEVELS, points.double() * LEVELS
    before = _before(p, x)
    levels = {"nearest": p.round, "away": lambda: _beyond(p, x), "toward": lambda: before}[rounding]()
    lowest, highest = (ball.lower.double() * LEVELS - _SAME).ceil(), (ball.upper.double() * LEVELS + _SAME).floor()
    levels = torch.minimum(torch.maximum(levels, lowest), highest)
    if ball.norm == "linf":
        radius = per_sample(_exact_radius(ball.eps), x)
        levels = torch.minimum(torch.maximum(levels, (x - radius).ceil()), (x + radius).floor())
        return _value(levels).to(points.dtype)
    levels = _spared(ball, levels, before, p)
    over = ~ball.contains(_value(levels).to(points.dtype))
    if bool(over.any()):
        levels[over] = _pulled(ball.select(over), p[over], x[over])
    return _value(levels).to(points.dtype)


def _value(levels: Tensor) -> Tensor:
    return (levels / LEVELS).float()


def _exact_radius(eps: Tensor) -> Tensor:
    """In levels, with the half of what float32 is allowed to miss."""
    return LEVELS * (eps.double() * (1 + RELATIVE_TOLERANCE) + ABSOLUTE_TOLERANCE / 2)


def _level_radius(eps: Tensor) -> Tensor:
    return _exact_radius(eps).floor()


def _before(p: Tensor, x: Tensor) -> Tensor:
    """The level next to p on the way to x, and no further than the nearest to x."""
    home = x.round()
    down, up = (p + _SAME).floor(), (p - _SAME).ceil()
    return torch.where(p >= home, torch.maximum(down, home), torch.minimum(up, home))


def _beyond(p: Tensor, x: Tensor) -> Tensor:
    """The level next to p on the way from x; that of x itself where p is x."""
    away = torch.where(p > x, (p - _SAME).ceil(), (p + _SAME).floor())
    return torch.where((p - x).abs() < _SAME, x.round(), away)


def _cost(ball: Ball, levels: Tensor) -> Tensor:
    """What each feature takes of the budget, (N, D)."""
    moved = (_value(levels).double() - ball.x.double()).flatten(1).abs()
    if ball.norm == "l2":
        return moved.square()
    return moved if ball.norm == "l1" else (moved > 0).double()


def _spared(ball: Ball, levels: Tensor, before: Tensor, p: Tensor) -> Tensor:
    """As many features set to `before` as the budget asks for."""
    eps = ball.eps.double() * (1 + RELATIVE_TOLERANCE / 2)
    excess = _cost(ball, levels).sum(dim=1) - (eps.square() if ball.norm == "l2" else eps)
    saved = (_cost(ball, levels) - _cost(ball, before)).clamp(min=0)
    lost = (before - p).square().flatten(1) - (levels - p).square().flatten(1)
    worth = torch.where(saved > 0, lost / saved.clamp(min=1e-30), torch.inf)
    order = worth.argsort(dim=1, stable=True)
    sorted_saved = saved.gather(1, order)
    needed = (sorted_saved.cumsum(dim=1) - sorted_saved < excess[:, None]) & (sorted_saved > 0)
    back = torch.zeros_like(needed).scatter_(1, order, needed).reshape(levels.shape)
    return torch.where(back, before, levels)


def _pulled(ball: Ball, p: Tensor, x: Tensor) -> Tensor:
    """The level before the furthest point on the way from x to p from which that is inside."""
    low, high = torch.zeros(len(p), dtype=torch.float64, device=p.device), torch.ones_like(p.flatten(1)[:, 0])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = ball.contains(_value(_before(x + per_sample(middle, x) * (p - x), x)))
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return _before(x + per_sample(low, x) * (p - x), x)
