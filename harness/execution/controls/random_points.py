"""Points drawn at random from the balls of what still stands.

Source: Carlini et al. 2019, section 5.5; reference sheet C2.6.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ...diagnosis.random_finds_ae import RandomPoints
from ...geometry import per_sample
from ...randomness import Stream
from ...threat import Ball
from ..lab import SAMPLES, Lab
from ..replay import Replayed

POINTS = 250
MANY, MANY_POINTS = 100, 10_000
"""With `controls: full`. Source: reference sheet C2.6."""

_ROUNDS = 5
"""Times that the best point so far of a random target is asked about again."""
_NUMBERS = 1 << 22
"""Held at a time."""
CLEARLY = 0.25
"""By so much the rate of a random target has to fall: three standard deviations of a difference of two rates."""


def random_points(lab: Lab) -> RandomPoints:
    """Half of the points from inside the balls, half from their extreme points.

    One answer says which point of a random target is asked about on fresh draws; it falls by what yet other draws say.
    """
    campaign = lab.campaign
    full = campaign.job.controls == "full"
    rows, points = lab.standing(MANY if full else SAMPLES), MANY_POINTS if full else POINTS
    lab.looked.update(rows.tolist())
    before = campaign.ledger.rate[rows].clone()
    for number in range(_ROUNDS):
        standing = campaign.ledger.rate[rows] >= 0.5
        if not bool(standing.any()):
            break
        candidates, seems = _best(lab, rows[standing], points // _ROUNDS, number)
        if bool(seems.any()):
            lab.judged(rows[standing][seems], candidates[seems], key=f"again/{number}")
    rate = campaign.ledger.rate[rows]
    least = CLEARLY if campaign.pipeline.random else 0.0
    return RandomPoints(len(rows), points, int(((rate < 0.5) & (before - rate >= least)).sum()))


def _best(lab: Lab, rows: Tensor, points: int, number: int) -> tuple[Tensor, Tensor]:
    """For each sample the point (N, ...) that one answer speaks most for, and whether it was a break there."""
    campaign = lab.campaign
    ball, stream = campaign.ball.select(rows), Stream.create(campaign.job.seed, "control/random", campaign.ids[rows])
    best, score = ball.x.clone(), torch.full((len(rows),), -torch.inf)
    broken = torch.zeros(len(rows), dtype=torch.bool)
    height = max(2, _NUMBERS // max(1, len(rows) * ball.x[0].numel()) // 2 * 2)
    for start in range(0, points, height):
        count = min(height, points - start)
        drawn = draw(ball, stream.child(f"{number}/{start}"), count)
        seen = _asked(lab, drawn, rows.repeat_interleave(count), f"{number}/{start}")
        wrong = (seen.rate < 0.5).reshape(-1, count)
        # A break goes before whatever is no break.
        value = torch.where(wrong, 1e9, 0.0) + seen.score.clamp(-1e8, 1e8).reshape(-1, count)
        top, which = value.max(dim=1)
        better = top > score
        chosen = drawn.reshape(len(rows), count, *ball.x.shape[1:])[torch.arange(len(rows)), which]
        best[better], score[better] = chosen[better], top[better]
        broken |= wrong.any(dim=1)
    return best, broken


def _asked(lab: Lab, points: Tensor, rows: Tensor, key: str) -> Replayed:
    campaign = lab.campaign
    inputs, goal = campaign.to_input(points, rows), campaign.goal(rows)
    return campaign.replay(inputs, rows, goal, phase="controls", draws=1, key=f"random/{key}", clean=False)


def draw(ball: Ball, stream: Stream, count: int) -> Tensor:
    """`count` points of each of N balls (N * count, ...), sample-major: every other one an extreme point."""
    inside = ball.fold(count - count // 2).random_start(stream.child("inside").fold(count - count // 2), 0)
    extreme = extremes(ball.fold(count // 2), stream.child("extreme").fold(count // 2))
    shape = (len(ball.x), -1, *ball.x.shape[1:])
    return torch.cat([inside.reshape(shape), extreme.reshape(shape)], dim=1).flatten(0, 1)


def extremes(ball: Ball, stream: Stream) -> Tensor:
    """One point of each ball from which there is no further: a corner (Linf), a point of the sphere (L2), features at
    the walls as many as the radius pays for (L1, L0)."""
    shape = tuple(ball.x.shape[1:])
    if ball.norm == "linf":
        return ball.project(ball.x + per_sample(ball.eps, ball.x) * stream.signs(0, shape))
    if ball.norm == "l2":
        far = replace(ball, lower=ball.lower - 1e6, upper=ball.upper + 1e6)
        return ball.project(far.project(ball.x + 1e3 * per_sample(ball.eps, ball.x) * stream.normal(0, shape)))
    walls = torch.where(stream.signs(0, shape) > 0, ball.upper, ball.lower)
    order = stream.child("order").uniform(0, shape).flatten(1).argsort(dim=1)
    price = (walls - ball.x).flatten(1).abs().gather(1, order)
    if ball.norm == "l0":
        price = torch.ones_like(price)
    left = (ball.eps[:, None] - price.cumsum(dim=1) + price).clamp(min=0)
    share = (left / price.clamp(min=1e-12)).clamp(max=1)
    share = share.floor() if ball.norm == "l0" else share
    taken = torch.zeros_like(share).scatter_(1, order, share).reshape(ball.x.shape)
    return ball.project(ball.x + taken * (walls - ball.x))
