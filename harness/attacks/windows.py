"""Square's search: what still stands, and windows of it changed at random.

Source: Andriushchenko, Croce, Flammarion and Hein 2020, "Square Attack", algorithms 1 and 2.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..geometry import per_sample
from ..target import Problem
from .bumps import bumped, first_bumps

# Draws for this many steps are made at once: one by one they cost as much as a small model.
_BLOCK = 64
_PLACES = 5


@dataclass
class Search:
    """What still stands, n samples as images (n, C, H, W); `best` is where the search is, not always above `clean`."""

    problem: Problem
    index: Tensor
    x: Tensor
    low: Tensor
    high: Tensor
    best: Tensor
    score: Tensor
    clean: Tensor
    draws: Tensor

    def keep(self, rows: Tensor) -> "Search":
        """What stands at `rows`."""
        kept: dict[str, Any] = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "problem"}
        return Search(self.problem.select(rows), **kept)

    def try_(self, points: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Which of points (n, C, H, W) are better than the best, and which are broken, (n,) each."""
        decision = self.problem.target.decide(points.reshape(self.problem.x.shape), step)
        score, broken = self.problem.goal.score(decision), self.problem.goal.broken(decision)
        # One answer of a random target proves nothing, so that even a break has to have the better score.
        better = score > self.score if self.problem.target.random else (score > self.score) | broken
        self.score = torch.where(better, score, self.score)
        return better, broken


def begin(problem: Problem) -> Search:
    """At the samples, of which nothing is known."""
    shape = problem.x.shape
    x = problem.x.reshape(len(problem.x), *((1,) * max(0, 4 - len(shape))), *shape[1:])
    eps = per_sample(problem.ball.eps, x)
    lower, upper = (side.expand(shape).reshape(x.shape) for side in (problem.ball.lower, problem.ball.upper))
    nothing = torch.full((len(x),), -math.inf, device=x.device)
    index = torch.arange(len(x), device=x.device)
    low, high = torch.maximum(x - eps, lower), torch.minimum(x + eps, upper)
    return Search(problem, index, x, low, high, x.clone(), nothing, nothing, nothing)


def first(search: Search) -> Tensor:
    """Where the search begins, (n, C, H, W)."""
    return _stripes(search) if search.problem.ball.norm == "linf" else first_bumps(search.problem, search.x)


def change(search: Search, number: int, share: float, step: int) -> Tensor:
    """Change a `share` of each best point and keep it if better on the draws of `step`; which broke, (n,).

    `number` counts the changes from 0.
    """
    if number % _BLOCK == 0:
        search.draws = search.problem.stream.uniform(number + 2, (_BLOCK, _PLACES + search.x.shape[1]))
    draw = search.draws[:, number % _BLOCK]
    area = share * search.x[0, 0].numel()
    if search.problem.ball.norm == "linf":
        return _change_window(search, draw, area, step)
    points = bumped(search.problem, search.x, search.best, draw, area)
    better, broken = search.try_(points, step)
    search.best = torch.where(per_sample(better, points), points, search.best)
    return broken


def _stripes(search: Search) -> Tensor:
    """Vertical stripes of -eps or +eps, one sign per channel and column, (n, C, H, W)."""
    _, channels, _, width = search.x.shape
    signs = search.problem.stream.child("stripes").signs(0, (channels, 1, width))
    return torch.where(signs > 0, search.high, search.low)


def _change_window(search: Search, draw: Tensor, area: float, step: int) -> Tensor:
    """Set one window of each best point to -eps or +eps, keep it where the margin grew; which broke, (n,).

    Only the window is read and written: the rest of the image costs nothing.
    """
    channels, height, width = search.x.shape[1:]
    h, w = window(area, height, width)
    rows = (draw[:, 0] * (height - h + 1)).to(torch.int64)[:, None] + torch.arange(h, device=draw.device)
    columns = (draw[:, 1] * (width - w + 1)).to(torch.int64)[:, None] + torch.arange(w, device=draw.device)
    place = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    planes = torch.arange(channels, device=draw.device)[:, None] * (height * width)
    place = (planes + place[:, None, :]).flatten(1)
    plus = (draw[:, _PLACES:] >= 0.5).repeat_interleave(h * w, dim=1)
    flat = search.best.flatten(1)
    old = flat.gather(1, place)
    new = torch.where(plus, search.high.flatten(1).gather(1, place), search.low.flatten(1).gather(1, place))
    flat.scatter_(1, place, new)
    better, broken = search.try_(search.best, step)
    flat.scatter_(1, place, torch.where(better[:, None], new, old))
    return broken


def window(area: float, height: int, width: int) -> tuple[int, int]:
    """The height and width of a window of about `area` pixels: square where it fits, longer where it does not."""
    h = min(max(1, round(math.sqrt(area))), height)
    w = min(max(1, round(area / h)), width) if h == height else min(h, width)
    if w == width and h < height:
        h = min(max(1, round(area / w)), height)
    return h, w
