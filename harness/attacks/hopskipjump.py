"""HopSkipJump: the closest broken point, from answers that say only "broken" or "not".

Source: Chen, Jordan and Wainwright 2020, "HopSkipJumpAttack", section IV. Deviations, each for fewer queries:
orthogonal directions and a memory of earlier normals (`boundary.normal`), a half-circle (L2) or a fan of rays (Linf)
instead of a step out and a bisection back (`turning.advance`), several starts of which the closest goes on, and a
probing radius that shrinks with the distance alone; a random target has a walk of its own (`wavering`).
"""

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..geometry import per_sample
from ..target import Problem
from . import wavering
from .boundary import Rows, normal, unit
from .first_tries import TRIES_PER_ROUND, closest_tries, first_tries
from .spec import AttackConfig
from .turning import STEP_COST, advance

_START_BISECTIONS = 10
_SMALLEST_BLEND = 2.0**-12
_POLISH = 8
_POLISHED = 0.98
# Numbers in the largest tensors of one walk (64 MB of float32); more samples than that take turns.
_MEMORY = 2**24


class HopSkipJump(AttackConfig):
    """Walks along the decision boundary towards the sample, by labels alone."""

    attack: Literal["hopskipjump"] = "hopskipjump"
    queries: int = Field(2500, ge=1, description="per sample, everything included")
    init_tries: int = Field(100, ge=1, description="random images to find a first broken point")
    starts: int | None = Field(None, ge=1, description="first points walked from in parallel; None: by the queries")
    warm_share: float = Field(0.25, ge=0, le=1, description="share of the queries spent before the best start is kept")
    gradient_queries: int = Field(
        40, ge=2, description="per normal in the first round; grows with the root of the round"
    )
    radius: float = Field(1.0, gt=0, description="probing radius, in distances over the fourth root of the features")
    memory: float = Field(0.8, ge=0, lt=1, description="share of the last normal in the next one")
    stop_at_eps: bool = Field(True, description="stop a sample as soon as its distance is within eps")


def hopskipjump(problem: Problem, config: HopSkipJump) -> Tensor:
    """Proposals (N, ...): the closest broken point where it lies in the ball, elsewhere the sample itself.

    Of a random target: the point of the ball that most fresh draws call broken.
    """
    points, _, proposals = _every(problem, config)
    if problem.target.random:
        return proposals
    inside = problem.ball.contains(points)
    return torch.where(per_sample(inside, points), points, problem.x)


def closest_broken(problem: Problem, config: HopSkipJump) -> tuple[Tensor, Tensor]:
    """The closest broken point of the box (N, ...) and its distance (N,), eps aside; x and inf where none was found.

    Raises:
        ValueError: the ball's norm is neither L2 nor Linf.
    """
    points, found, _ = _every(problem, config)
    distances = problem.ball.distances(points)
    return points, torch.where(found, distances, torch.full_like(distances, math.inf))


def _every(problem: Problem, config: HopSkipJump) -> tuple[Tensor, Tensor, Tensor]:
    """The closest broken points (N, ...), where there is one (N,), and what a random target's walk proposes."""
    if problem.ball.norm not in STEP_COST:
        raise ValueError(f"hopskipjump walks in l2 and linf, not in {problem.ball.norm}")
    per_sample_memory = TRIES_PER_ROUND * _starts(config, config.queries) * max(1, math.prod(problem.x.shape[1:]))
    height = max(1, _MEMORY // per_sample_memory)
    parts = [torch.arange(i, min(i + height, len(problem.x))) for i in range(0, len(problem.x), height)]
    points, proposals = problem.x.clone(), problem.x.clone()
    found = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    for part in parts:
        index = part.to(points.device)
        if problem.target.random:
            points[index], found[index], proposals[index] = wavering.search(problem.select(index), config)
        else:
            points[index], found[index] = _search(problem.select(index), config)
    return points, found, proposals


def _search(problem: Problem, config: HopSkipJump) -> tuple[Tensor, Tensor]:
    """The closest broken points (N, ...), the samples where none was found, and where one was (N,)."""
    points = problem.x.clone()
    rows = Rows.of(problem)
    found = rows.broken(rows.x[:, None])[:, 0]
    open_ = (~found).nonzero()[:, 0]
    spent = 1
    for round_ in range(-(-config.init_tries // TRIES_PER_ROUND)):
        tries = min(TRIES_PER_ROUND, config.init_tries - round_ * TRIES_PER_ROUND, config.queries - spent)
        if len(open_) == 0 or tries <= 0:
            break
        part = problem.select(open_)
        images = first_tries(part, tries, round_)
        hit = Rows.of(part).broken(images)
        spent += tries
        # Samples that start in the same round have the same queries left, so they walk in step.
        lucky = hit.any(dim=1)
        if bool(lucky.any()):
            index = open_[lucky]
            walked = _walk(
                part.select(lucky.nonzero()[:, 0]), images[lucky], hit[lucky], config.queries - spent, config
            )
            points[index] = walked.view(len(index), *points.shape[1:])
            found[index] = True
        open_ = open_[~lucky]
    return points, found


def _starts(config: HopSkipJump, queries: int) -> int:
    """How many starts to walk from: one per 1,500 queries, because fewer are better spent on one walk."""
    return min(config.starts or max(1, min(6, queries // 1500)), TRIES_PER_ROUND)


def _walk(problem: Problem, images: Tensor, hit: Tensor, left: int, config: HopSkipJump) -> Tensor:
    """The closest broken point (N, D) within `left` queries per sample, from broken images of (N, T, D)."""
    device, n, norm = problem.x.device, len(problem.x), problem.ball.norm
    starts = min(_starts(config, left), images.shape[1], max(1, left // 200))
    rows = Rows.of(problem.select(torch.arange(n, device=device).repeat_interleave(starts)))
    rows.problem = replace(rows.problem, stream=problem.stream.fold(starts))
    first = closest_tries(Rows.of(problem), images, hit, starts)
    owner = torch.arange(n, device=device)
    result = first[::starts].clone()

    steps = min(_START_BISECTIONS, left // starts)
    point = rows.pull(first, _SMALLEST_BLEND, steps=steps, geometric=True)
    left -= steps * starts
    warm = left * (1 - config.warm_share)
    memory, reach = torch.zeros_like(point), torch.ones(len(point), device=device)
    round_ = 0
    while True:
        best = _nearest(rows, point, starts)
        result[owner] = point[best]
        if config.stop_at_eps:
            stands = ~rows.problem.ball.contains(point.view(rows.problem.x.shape)).view(-1, starts).any(dim=1)
            keep = stands.repeat_interleave(starts).nonzero()[:, 0]
            rows, point, memory, reach, owner = rows.select(keep), point[keep], memory[keep], reach[keep], owner[stands]
            best = _nearest(rows, point, starts)
        if starts > 1 and left <= warm:
            rows, point, memory, reach, starts = rows.select(best), point[best], memory[best], reach[best], 1
        round_ += 1
        wanted = int(config.gradient_queries * math.sqrt(round_))
        queries = min(wanted, left // starts - STEP_COST[norm] - _POLISH)
        if len(owner) == 0 or queries < min(wanted, 10):
            break
        radius = config.radius * rows.size(point) / point.shape[1] ** 0.25
        if norm == "linf":
            # The same share of the distance per feature.
            radius = radius * math.sqrt(point.shape[1]) / point.shape[1] ** 0.25
        memory = unit(normal(rows, point, radius, queries, round_) + config.memory * memory)
        point, reach = advance(rows, point, memory, reach)
        left -= starts * (queries + STEP_COST[norm])
    if len(owner):
        last = rows.select(best) if starts > 1 else rows
        result[owner] = last.pull(result[owner], _POLISHED, steps=min(left, _POLISH))
    return result


def _nearest(rows: Rows, point: Tensor, starts: int) -> Tensor:
    """The row of each sample's closest point, for `starts` rows per sample."""
    sizes = rows.size(point).view(-1, starts)
    return sizes.argmin(dim=1) + torch.arange(len(sizes), device=point.device) * starts
