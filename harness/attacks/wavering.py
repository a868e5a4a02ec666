"""HopSkipJump where the boundary wavers: a random target, whose answers are shares of the votes of its draws.

Deviations from the walk along a fixed boundary: the probing radius grows until an answer, asked for again, comes out
alike, and shares of votes weigh the directions; after every turn fresh draws say whether the point still stands on
the broken side; proposed is a point of the ball on the way to it or on the normal found, judged on fresh draws.

Source: Chen, Jordan and Wainwright 2020, "HopSkipJumpAttack", section IV.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..target import Problem
from .boundary import Rows, normal, orthonormal, unit
from .first_tries import TRIES_PER_ROUND, closest_tries, first_tries
from .standing import KEPT, SETTLED, Standing, rounds
from .turning import COARSE_COST, advance

if TYPE_CHECKING:
    from .hopskipjump import HopSkipJump

_CLEAN = 5
"""Answers about the sample itself."""
_BISECTIONS, _SMALLEST_BLEND = 7, 2.0**-12
_PAIRS = 8
"""Points per round that are asked about twice."""
_ALIKE, _TOO_ALIKE = 0.6, 0.85
"""Correlation of an answer with its repetition, below which the radius grows, and above which it shrinks."""
_WIDER, _WIDEST = 2.5, 2.0
"""Growth per round, and the largest radius in radii of the ball."""
_MORE = 2
"""Queries per normal, compared with a fixed boundary."""
_GIVE = 0.05
"""How far a point moves, in distances, when fresh draws all vote the same."""
_CANDIDATES = 3
"""Queries of one proposal."""
_FIRM, _OUT = 8, 1.03
"""Last answers about the closest point, and how it gives way to each that is not broken."""
_FIRM_KEY = 1_000_000_000


def search(problem: Problem, config: "HopSkipJump") -> tuple[Tensor, Tensor, Tensor]:
    """The closest points (N, ...) that stay broken, where there is one (N,), and proposals in the balls (N, ...)."""
    rows = Rows.of(problem)
    points, proposals = problem.x.clone(), problem.x.clone()
    spent = min(_CLEAN, config.queries)
    votes = rows.votes(rows.x[:, None].repeat(1, spent, 1))
    standing = Standing.begin(problem.x, votes.mean(dim=1))
    found = votes.mean(dim=1) > SETTLED
    open_ = (~found).nonzero()[:, 0]
    for round_ in range(-(-config.init_tries // TRIES_PER_ROUND)):
        tries = min(TRIES_PER_ROUND, config.init_tries - round_ * TRIES_PER_ROUND, (config.queries - spent) // 2)
        if len(open_) == 0 or tries <= 0:
            break
        part = rows.select(open_)
        images = first_tries(part.problem, tries, round_)
        hit = part.votes(images) + part.votes(images) > 0
        rows.asked = part.asked
        spent += 2 * tries
        lucky = hit.any(dim=1).nonzero()[:, 0]
        if len(lucky):
            index, part = open_[lucky], part.select(lucky)
            first = closest_tries(part, images[lucky], hit[lucky], 1)
            walked, proposed = _walk(part, first, standing.select(index), config.queries - spent, config)
            points[index], proposals[index] = walked.view_as(points[index]), proposed.view_as(points[index])
            found[index] = True
        open_ = open_[~hit.any(dim=1)]
    return points, found, proposals


@dataclass
class _State:
    """Where n samples stand, (n, D), and how far they look."""

    point: Tensor
    memory: Tensor
    reach: Tensor
    scale: Tensor
    """The probing radius in smallest ones, (n,)."""
    alike: Tensor
    """Running covariance and variance of answers that were asked for twice, (n, 2)."""

    def select(self, rows: Tensor) -> "_State":
        return _State(*(getattr(self, f.name)[rows] for f in fields(self)))


def _walk(rows: Rows, first: Tensor, standing: Standing, left: int, config: "HopSkipJump") -> tuple[Tensor, Tensor]:
    """The closest points that stay broken and the proposals, (n, D) each, within `left` queries, from broken (n, D)."""
    everyone = replace(rows, asked=_FIRM_KEY)
    closest, proposals = first.clone(), rows.x.clone()
    index = torch.arange(len(first), device=first.device)
    firm, last, steps = (
        min(_FIRM, left // 4),
        min(rounds(config.queries), left // (4 * KEPT)),
        min(_BISECTIONS, left // 4),
    )
    left -= firm + last * KEPT + steps
    point = rows.pull(first, _SMALLEST_BLEND, steps=steps, geometric=True)
    one = torch.ones_like(point[:, 0])
    state = _State(point, torch.zeros_like(point), one, one, torch.zeros_like(point[:, :2]))
    cost = COARSE_COST[rows.problem.ball.norm] + 2 * _PAIRS + 1 + _CANDIDATES
    round_ = 0
    if left >= _CANDIDATES:
        left -= _CANDIDATES
        standing.recheck(*_proposal(rows, state))
    while len(index):
        round_ += 1
        wanted = int(_MORE * config.gradient_queries * math.sqrt(round_))
        queries = min(wanted, left - cost)
        if queries < min(wanted, 10):
            break
        left -= queries + cost
        radius = _radius(rows, state, config)
        found = normal(rows, state.point, radius, queries, round_, ask=Rows.votes)
        state.memory = unit(found + config.memory * state.memory)
        _widen(rows, state, radius, round_)
        state.point, state.reach = advance(rows, state.point, state.memory, state.reach, coarse=True)
        # Towards the sample where fresh draws still call the point broken, away from it where they do not.
        share = 1 - _GIVE * rows.votes(state.point[:, None])
        state.point = rows.clip(rows.x + share * (state.point - rows.x))
        closest[index] = state.point
        over = standing.recheck(*_proposal(rows, state))
        if config.stop_at_eps and bool(over.any()):
            proposals[index[over]] = standing.points[over, 0].flatten(1)
            kept = (~over).nonzero()[:, 0]
            rows, state, standing, index = rows.select(kept), state.select(kept), standing.select(kept), index[kept]
    if len(index):
        closest[index] = state.point
        proposals[index] = standing.choose(rows.problem, rows.asked + 1, last).flatten(1)
    for _ in range(firm):
        stays = everyone.votes(closest[:, None]) > 0
        closest = torch.where(stays, closest, everyone.clip(everyone.x + _OUT * (closest - everyone.x)))
    return closest, proposals


def _proposal(rows: Rows, state: _State) -> tuple[Tensor, Tensor]:
    """The better of two points of the ball, (n, ...), and its balance on fresh draws, (n,)."""
    ball, shape = rows.problem.ball, rows.problem.x.shape
    ray = (state.point - rows.x) / rows.size(state.point)[:, None].clamp(min=1e-30)
    steep = state.memory.sign() if ball.norm == "linf" else state.memory
    ends = [ball.project((rows.x + ball.eps[:, None] * way).view(shape)).flatten(1) for way in (ray, steep)]
    straight = rows.votes(ends[0][:, None])
    # Both are asked about on the same draws.
    rows.asked -= 1
    chosen = torch.where(rows.votes(ends[1][:, None]) > straight, ends[1], ends[0])
    return chosen.view(shape), rows.votes(chosen[:, None])[:, 0]


def _radius(rows: Rows, state: _State, config: "HopSkipJump") -> Tensor:
    """How far to probe, (n,): the radius of a fixed boundary, widened, but not far beyond the ball."""
    features, eps = state.point.shape[1], rows.problem.ball.eps
    size = torch.maximum(rows.size(state.point), 0.1 * eps)
    smallest = config.radius * size
    widest = _WIDEST * torch.maximum(size, eps)
    if rows.problem.ball.norm == "l2":
        smallest = smallest / features**0.25
    else:
        widest = widest * math.sqrt(features)
    state.scale = torch.minimum(state.scale, widest / smallest).clamp(min=1.0)
    return state.scale * smallest


def _widen(rows: Rows, state: _State, radius: Tensor, round_: int) -> None:
    """Ask some questions twice: where the answers hardly agree, the noise is larger than what the radius shows."""
    features = state.point.shape[1]
    basis = orthonormal(round_ * _PAIRS, _PAIRS, features, radius.device)
    flip = rows.problem.stream.child("pairs").signs(round_, (features,)) * radius[:, None]
    moves = rows.clip(torch.addcmul(state.point[:, None], basis, flip[:, None]))
    first, second = rows.votes(moves), rows.votes(moves)
    mean = (first + second).mean(dim=1, keepdim=True) / 2
    first, second = first - mean, second - mean
    seen = torch.stack([(first * second).mean(dim=1), (first.square() + second.square()).mean(dim=1) / 2], dim=1)
    state.alike = (state.alike + seen) / 2
    share = state.alike[:, 0] / state.alike[:, 1].clamp(min=1e-3)
    factor = torch.where(share < _ALIKE, _WIDER, torch.where(share > _TOO_ALIKE, 1 / _WIDER, 1.0))
    state.scale = state.scale * factor
