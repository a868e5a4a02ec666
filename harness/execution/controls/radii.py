"""The plan's first gradient over a row of growing balls.

Source: Carlini et al. 2019, section 5.4; reference sheet C2.5. Deviation: where the plan has no gradient of the target,
a random search takes its place.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...attacks import AnyAttack
from ...attacks.pgd import PGD
from ...attacks.square import Square
from ...diagnosis.eps_nonmonotone import Radii, Radius
from ...errors import NotApplicableError
from ...grid import reachable
from ...planner import Step
from ...threat import Ball
from ..campaign import Campaign
from ..lab import SAMPLES, Lab

MANY = 128
"""Samples with `controls: full`."""
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of the threat model's radius. Source: reference sheet C2.5."""
WIDE = 0.5
"""Of every pixel's range: from there on all samples share a point, the grey image. Source: Carlini et al. 2019, 5.4."""

_STEPS, _FEWEST = 20, 8
_PASSES = 1000
"""Per sample and radius; expensive gradients get fewer steps."""
_DRAWS = 5
_QUERIES = 150
_INSIDE = 1 + 1e-6


@dataclass(frozen=True)
class _Stop:
    """One radius: how it is written down, per sample (M,), and the ball that is attacked."""

    epsilon: float
    radii: Tensor
    ball: Ball
    wide: bool = False


def radii(lab: Lab) -> Radii:
    """Accuracy over the radius on a part of the samples, those that are wrong when clean included.

    A random target counts as right where it is right on at least half of the draws.
    """
    campaign = lab.campaign
    ledger = campaign.ledger
    every = campaign.spread((ledger.seen & (campaign.ball.eps > 0)).nonzero().squeeze(1), _count(campaign))
    rows = every[ledger.right[every]]
    if len(every) == 0:
        raise NotApplicableError("no sample has room to move")
    stops = _stops(campaign, rows)
    config, step = _attack(lab)
    fell = torch.zeros(len(stops), len(rows), dtype=torch.bool)
    for number, stop in enumerate(stops if len(rows) else ()):
        fell[number] = lab.attack(config, rows, key=f"{number}", step=step, ball=stop.ball).fell
    return _told(campaign, every, rows, stops, fell)


def _count(campaign: Campaign) -> int:
    return MANY if campaign.job.controls == "full" else SAMPLES


def _stops(campaign: Campaign, rows: Tensor) -> list[_Stop]:
    """Every radius that the box has room for, the smallest first."""
    job, ball = campaign.job, campaign.ball.select(rows)
    features = job.x[0].numel()
    nominal = campaign.ball.eps if job.eps is None else job.eps
    room = {"linf": 1.0, "l2": features**0.5, "l1": float(features), "l0": float(features)}[job.norm]
    stops: dict[float, _Stop] = {}
    for multiple in MULTIPLES:
        eps = (nominal[rows] * multiple).clamp(max=room)
        eps = eps.floor() if job.norm == "l0" else eps
        label = float(eps.median()) if len(eps) else 0.0
        eps = reachable(eps, job.norm) if campaign.coordinates.grid else eps
        if label > 0 and not (job.box is not None and multiple > 1):
            stops.setdefault(label, _Stop(label, eps, ball.with_eps(eps)))
    if job.box is None and job.norm != "l0":
        # The cube of that half-width lies in the ball of the other norms that touches its corners.
        wide = torch.full_like(ball.eps, WIDE)
        cube = replace(ball.with_eps(reachable(wide, "linf") if campaign.coordinates.grid else wide), norm="linf")
        stops[WIDE * room] = _Stop(WIDE * room, wide * room, cube, wide=True)
    return [stops[label] for label in sorted(stops)]


def _attack(lab: Lab) -> tuple[AnyAttack, Step | None]:
    pipeline, job = lab.campaign.pipeline, lab.campaign.job
    if not lab.direct:
        if job.norm not in ("linf", "l2"):
            raise NotApplicableError(
                f"no attack of the plan climbs a gradient, and none without one searches {job.norm}"
            )
        return Square(queries=_QUERIES), None
    step = replace(lab.main, draws=min(lab.main.draws, _DRAWS))
    assert step.gradient is not None
    each = step.draws * (2 * step.gradient.neighbours + step.gradient.queries(job.x[0].numel()))
    steps = max(_FEWEST, min(_STEPS, _PASSES // each))
    return PGD(loss="joint" if pipeline.rejects else "margin", steps=steps), step


def _told(campaign: Campaign, every: Tensor, rows: Tensor, stops: list[_Stop], fell: Tensor) -> Radii:
    """Plain numbers from who fell where (R, M)."""
    ledger, n = campaign.ledger, len(every)
    points = [Radius(0.0, len(rows), len(rows))]
    known = torch.where(ledger.rate[rows] < 0.5, ledger.distance[rows], torch.inf)
    reach = torch.stack([stop.radii for stop in stops]).double() if stops else torch.empty(0, len(rows)).double()
    for number, stop in enumerate(stops):
        inside = reach <= reach[number] * _INSIDE
        broken = (fell & inside).any(dim=0) | (known <= reach[number] * _INSIDE)
        points.append(Radius(stop.epsilon, int((~fell[number]).sum()), int((~broken).sum())))
    pairs = []
    for small in range(len(stops)):
        for large in range(small + 1, len(stops)):
            larger = reach[large] > reach[small]
            only_small = int((fell[small] & ~fell[large] & larger).sum())
            only_large = int((fell[large] & ~fell[small] & larger).sum())
            pairs.append((only_small - only_large, only_small, only_large, small, large))
    wide = [int((~fell[number]).sum()) for number, stop in enumerate(stops) if stop.wide]
    proves = campaign.job.targets is None and not campaign.pipeline.rejects
    found = Radii(samples=n, points=tuple(points), wide=wide[0] if wide and proves else None)
    if not pairs:
        return found
    _, only_small, only_large, small, large = max(pairs)
    return replace(
        found,
        smaller=stops[small].epsilon,
        larger=stops[large].epsilon,
        only_smaller=only_small,
        only_larger=only_large,
    )
