"""Square: random search with square changes, from scores alone.

Source: Andriushchenko, Croce, Flammarion and Hein 2020, "Square Attack", algorithms 1 and 2; schedule of AutoAttack
(Croce and Hein 2020). Deviations: windows that do not fit keep their area, so that (N, D) inputs are changed in
segments of a 1 x D strip; the clean point is asked about first; a random target is searched in blocks of questions on
the same draws (`standing`), and a break is one that fresh draws confirm.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..target import Problem
from .spec import AttackConfig
from .standing import KEPT, Standing, balance, block, rounds
from .windows import Search, begin, change, first

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULE = 10_000


class Square(AttackConfig):
    """Random search over windows of the image, each kept if the margin grows."""

    attack: Literal["square"] = "square"
    queries: int = Field(5000, ge=1, description="per sample, the clean point included")
    p_init: float = Field(0.8, gt=0, le=1, description="share of the pixels that the first windows change")
    schedule_queries: int | None = Field(
        None, ge=1, description="queries that the published schedule of 10,000 is squeezed into; None: not rescaled"
    )


def square(problem: Problem, config: Square) -> Tensor:
    """Proposals (N, ...): the first broken point, or the one with the best margin.

    Of a random target: the point with the best mean margin on fresh draws.

    Raises:
        ValueError: the ball's norm is neither L2 nor Linf.
    """
    norm = problem.ball.norm
    if norm not in ("linf", "l2"):
        raise ValueError(f"square searches in linf and l2, not in {norm}")
    result = problem.x.clone()
    if len(result) == 0:
        return result
    search = begin(problem)
    _, broken = search.try_(search.x, 0)
    if problem.target.random:
        return _on_draws(search, result, config)
    search.clean = search.score
    images = result.view(search.x.shape)
    for step in range(1, config.queries):
        if bool(broken.any()):
            images[search.index[broken]] = search.best[broken]
            search = search.keep((~broken).nonzero()[:, 0])
        if len(search.index) == 0:
            return result
        if step == 1:
            search.best = first(search)
            search.score = torch.full_like(search.score, -math.inf)
            _, broken = search.try_(search.best, step)
            continue
        broken = change(search, step - 2, _share(config, step - 2), step)
    ahead = broken | (search.score > search.clean)
    images[search.index[ahead]] = search.best[ahead]
    return result


def _on_draws(search: Search, result: Tensor, config: Square) -> Tensor:
    """The same search of a random target, whose clean scores are known; `result` (N, ...) is filled."""
    images = result.view(search.x.shape)
    standing = Standing.begin(search.x, balance(search.score))
    search.best = first(search)
    last = rounds(config.queries)
    number, opening, changes = 0, 1, 0
    for question in range(1, config.queries - KEPT * last):
        if question < opening:
            change(search, changes, _share(config, changes), number)
            changes += 1
            continue
        number += 1
        opening += block(number)
        search.score = torch.full_like(search.score, -math.inf)
        search.try_(search.best, number)
        over = standing.recheck(search.best, balance(search.score))
        if bool(over.any()):
            images[search.index[over]] = search.best[over]
            rows = (~over).nonzero()[:, 0]
            search, standing = search.keep(rows), standing.select(rows)
        if len(search.index) == 0:
            return result
    images[search.index] = standing.choose(search.problem, number + 1, last)
    return result


def _share(config: Square, step: int) -> float:
    """The share of the pixels that a window covers."""
    if config.schedule_queries is not None:
        step = int(step / config.schedule_queries * _SCHEDULE)
    return config.p_init / float(2 ** sum(step > after for after in _HALVINGS))
