"""The worst cases moved to the 8-bit pixel grid; where rounding loses a break, a short search on the grid."""

from dataclasses import replace

import torch
from torch import Tensor

from ...attacks import ATTACKS
from ...attacks.pgd import PGD
from ...diagnosis.invalid_ae import OnGrid
from ...errors import NotApplicableError
from ...grid import ROUNDINGS, fitted, in_bounds, inner
from .. import scoring
from ..lab import Lab
from ..replay import Replayed

_STEPS = 30


def grid(lab: Lab) -> OnGrid:
    """Who is right when only points on the grid count; of several roundings the worst one, on fresh draws where a
    target is random."""
    campaign = lab.campaign
    ledger, job = campaign.ledger, campaign.job
    if campaign.coordinates.grid:
        raise NotApplicableError("the headline itself is judged on the grid")
    if job.x.dim() != 4 or job.box is not None:
        raise NotApplicableError("the samples are no images, or have a box of their own")
    moved = torch.tensor([by is not None for by in ledger.by], dtype=torch.bool) & (ledger.distance > 0)
    rows = (moved & ledger.attackable).nonzero().squeeze(1)
    rates = torch.where(ledger.attackable, ledger.clean_rate, 0.0)
    for block in torch.split(rows, campaign.block) if len(rows) else ():
        rates[block] = _worst(lab, block)
    if not campaign.pipeline.random:
        rates[rows] = torch.where(rates[rows] < 0.5, 0.0, 1.0).double()
    was = ledger.rate[rows] < 0.5
    kept = int((was & (rates[rows] < 0.5)).sum())
    return OnGrid(len(rows), kept, int(was.sum()), tuple(rates[ledger.known].tolist()))


def _worst(lab: Lab, rows: Tensor) -> Tensor:
    """How often the samples at `rows` are right on their worst grid point, (N,)."""
    campaign = lab.campaign
    z = campaign.coordinates.select(rows).from_input(campaign.ledger.x[rows])
    ball, bounds = campaign.ball.select(rows), campaign.coordinates
    candidates = [fitted(ball, z, rounding) for rounding in ROUNDINGS]
    if not bool(torch.stack([ball.contains(points) for points in candidates]).any(dim=0).all()):
        raise NotApplicableError("some samples lie so far off the grid that their balls hold no point of it")
    chosen, least = candidates[0].clone(), torch.full((len(rows),), torch.inf, dtype=torch.float64)

    def take(part: Tensor, points: Tensor, key: str) -> None:
        inputs, inside = in_bounds(points, bounds.lower, bounds.upper), ball.select(part).contains(points)
        rate = _asked(lab, inputs, rows[part], scoring.SELECTION_DRAWS, key).rate.masked_fill(~inside, torch.inf)
        better = part[rate < least[part]]
        chosen[better], least[better] = points[rate < least[part]], rate[rate < least[part]]

    for rounding, points in zip(ROUNDINGS, candidates, strict=True):
        take(torch.arange(len(rows)), points, rounding)
    lost = ((least >= 0.5) & (campaign.ledger.rate[rows] < 0.5)).nonzero().squeeze(1)
    if len(lost) and lab.direct:
        for rounding, points in zip(ROUNDINGS, _searched(lab, rows[lost]), strict=True):
            take(lost, points, f"search/{rounding}")
    worse = (least < campaign.ledger.rate[rows]).nonzero().squeeze(1)
    if len(worse):  # a point of the ball is one, whoever found it
        lab.fell += campaign.take(rows[worse], chosen[worse], f"control: {lab.name}", phase="controls")
    if campaign.pipeline.random:
        inputs = in_bounds(chosen, bounds.lower, bounds.upper)
        least = _asked(lab, inputs, rows, scoring.SCORING_DRAWS, "score").rate
    return torch.minimum(least, campaign.ledger.clean_rate[rows])


def _searched(lab: Lab, rows: Tensor) -> list[Tensor]:
    """What a climb that sees rounded points finds for the samples at `rows`, rounded in every way."""
    campaign = lab.campaign
    scene = replace(lab._bare_scene(), coordinates=replace(campaign.coordinates, grid=True))
    config = PGD(loss="joint" if campaign.pipeline.rejects else "margin", steps=_STEPS, restarts=2)
    ball = campaign.ball.select(rows)
    problem = lab.problem(config, rows, key="search", ball=inner(ball), scene=scene)
    found = ATTACKS[config.attack].run(problem, config).cpu()
    return [fitted(ball, found, rounding) for rounding in ROUNDINGS]


def _asked(lab: Lab, inputs: Tensor, rows: Tensor, draws: int, key: str) -> Replayed:
    campaign = lab.campaign
    lab.looked.update(rows.tolist())
    return campaign.replay(
        inputs, rows, campaign.goal(rows), phase="controls", draws=draws, key=f"grid/{key}", clean=False
    )
