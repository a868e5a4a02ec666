"""Square: random search with square changes, from scores alone.

Source: Andriushchenko, Croce, Flammarion and Hein 2020, "Square Attack", algorithms 1 and 2; schedule of AutoAttack
(Croce and Hein 2020). Deviations: windows that do not fit keep their area, so that (N, D) inputs are changed in
segments of a 1 x D strip; the clean point is asked about first.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..geometry import per_sample
from ..target import Problem
from .bumps import bumped, first_bumps
from .spec import AttackConfig

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULE = 10_000
# Draws for this many steps are made at once: one by one they cost as much as a small model.
_BLOCK = 64
_PLACES = 5


class Square(AttackConfig):
    """Random search over windows of the image, each kept if the margin grows."""

    attack: Literal["square"] = "square"
    queries: int = Field(5000, ge=1, description="per sample, the clean point included")
    p_init: float = Field(0.8, gt=0, le=1, description="share of the pixels that the first windows change")
    schedule_queries: int | None = Field(
        None, ge=1, description="queries that the published schedule of 10,000 is squeezed into; None: not rescaled"
    )


@dataclass
class _Search:
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

    def keep(self, rows: Tensor) -> "_Search":
        kept: dict[str, Any] = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "problem"}
        return _Search(self.problem.select(rows), **kept)

    def try_(self, points: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Which of points (n, C, H, W) are better than the best, and which are broken, (n,) each."""
        decision = self.problem.target.decide(points.reshape(self.problem.x.shape), step)
        score, broken = self.problem.goal.score(decision), self.problem.goal.broken(decision)
        better = (score > self.score) | broken
        self.score = torch.where(better, score, self.score)
        return better, broken


def square(problem: Problem, config: Square) -> Tensor:
    """Proposals (N, ...): the first broken point, or the one with the best margin.

    Raises:
        ValueError: the ball's norm is neither L2 nor Linf.
    """
    norm = problem.ball.norm
    if norm not in ("linf", "l2"):
        raise ValueError(f"square searches in linf and l2, not in {norm}")
    result = problem.x.clone()
    if len(result) == 0:
        return result
    search = _begin(problem)
    _, broken = search.try_(search.x, 0)
    search.clean = search.score
    images = result.view(search.x.shape)
    for step in range(1, config.queries):
        if bool(broken.any()):
            images[search.index[broken]] = search.best[broken]
            search = search.keep((~broken).nonzero()[:, 0])
        if len(search.index) == 0:
            return result
        if step == 1:
            search.best = _stripes(search) if norm == "linf" else first_bumps(search.problem, search.x)
            search.score = torch.full_like(search.score, -math.inf)
            _, broken = search.try_(search.best, step)
            continue
        if (step - 2) % _BLOCK == 0:
            search.draws = search.problem.stream.uniform(step, (_BLOCK, _PLACES + search.x.shape[1]))
        draw = search.draws[:, (step - 2) % _BLOCK]
        area = _share(config, step - 2) * search.x[0, 0].numel()
        if norm == "linf":
            broken = _change_window(search, draw, area, step)
        else:
            points = bumped(search.problem, search.x, search.best, draw, area)
            better, broken = search.try_(points, step)
            search.best = torch.where(per_sample(better, points), points, search.best)
    ahead = broken | (search.score > search.clean)
    images[search.index[ahead]] = search.best[ahead]
    return result


def _begin(problem: Problem) -> _Search:
    shape = problem.x.shape
    x = problem.x.reshape(len(problem.x), *((1,) * max(0, 4 - len(shape))), *shape[1:])
    eps = per_sample(problem.ball.eps, x)
    lower, upper = (side.expand(shape).reshape(x.shape) for side in (problem.ball.lower, problem.ball.upper))
    nothing = torch.full((len(x),), -math.inf, device=x.device)
    index = torch.arange(len(x), device=x.device)
    low, high = torch.maximum(x - eps, lower), torch.minimum(x + eps, upper)
    return _Search(problem, index, x, low, high, x.clone(), nothing, nothing, nothing)


def _share(config: Square, step: int) -> float:
    """The share of the pixels that a window covers."""
    if config.schedule_queries is not None:
        step = int(step / config.schedule_queries * _SCHEDULE)
    return config.p_init / float(2 ** sum(step > after for after in _HALVINGS))


def _stripes(search: _Search) -> Tensor:
    """Vertical stripes of -eps or +eps, one sign per channel and column, (n, C, H, W)."""
    _, channels, _, width = search.x.shape
    signs = search.problem.stream.child("stripes").signs(0, (channels, 1, width))
    return torch.where(signs > 0, search.high, search.low)


def _change_window(search: _Search, draw: Tensor, area: float, step: int) -> Tensor:
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
