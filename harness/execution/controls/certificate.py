"""What interval bounds prove of every sample, beside what the attacks found."""

import torch
from torch import Tensor

from ...certificate import Interval, bounded, margins
from ...classifier import Forward
from ...diagnosis.unsound import Certified
from ...errors import NotApplicableError
from ...geometry import per_sample
from ...threat import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE
from ..campaign import Campaign
from ..lab import SAMPLES, Lab


def certificate(lab: Lab) -> Certified:
    """Linf balls as they are, L2 and L1 balls by the box around them; all samples if any of the first is proven.

    Raises:
        NotApplicableError: for the target, the norm or one of the model's operations there are no bounds.
    """
    campaign = lab.campaign
    forward = _provable(campaign)
    seen = campaign.ledger.seen.nonzero().squeeze(1)
    first = campaign.spread(seen, SAMPLES)
    found = _judged(campaign, forward, first)
    rest = seen[~torch.isin(seen, first)]
    if found.proven:
        for rows in torch.split(rest, campaign.batch) if len(rest) else ():
            found = _together(found, _judged(campaign, forward, rows))
    return found


def _provable(campaign: Campaign) -> Forward:
    pipeline, norm = campaign.pipeline, campaign.job.norm
    if pipeline.stages or pipeline.rejects:
        raise NotApplicableError("there are no bounds for stages and detectors around the model")
    if pipeline.random:
        raise NotApplicableError("there are no bounds for a random model")
    if norm == "l0":
        raise NotApplicableError("the box around an L0 ball is the whole box")
    forward = pipeline.classifier.differentiable()
    if forward is None:
        raise NotApplicableError("the model has no twin whose operations could be bounded")
    return forward


def _judged(campaign: Campaign, forward: Forward, rows: Tensor) -> Certified:
    job, ledger, device = campaign.job, campaign.ledger, campaign.job.device
    clean = campaign.inputs(rows)
    logits = _deployed(campaign, rows, clean)
    slack = _slack(campaign, logits)
    point = _bounded(campaign, forward, rows, clean, clean)
    if not bool(((point.centre - logits).abs() <= slack).all()):
        raise NotApplicableError("bounds of single points are not what the deployed model answers there")
    low, high = _box(campaign, rows)
    scores = _bounded(campaign, forward, rows, low.to(device), high.to(device))
    goal = campaign.goal(rows)
    lead = margins(scores, goal.y.to(device)).cpu()
    lead = lead.amin(dim=1) if goal.targets is None else lead.gather(1, goal.targets[:, None])[:, 0]
    # Each of the two scores may be off by what the number format rounds away.
    proven = (lead > 2 * slack) & (lead < torch.inf)
    right = ledger.right[rows]
    broken = ledger.rate[rows] < 0.5 if job.targets is not None else (ledger.rate[rows] < 0.5) | ~right
    return Certified(
        samples=len(rows),
        proven=int((proven & right).sum()),
        contradicted=int((proven & broken & (right | (goal.targets is None))).sum()),
        outside=_outside(_deployed(campaign, rows, ledger.x[rows].to(device)), scores, slack),
    )


def _deployed(campaign: Campaign, rows: Tensor, x: Tensor) -> Tensor:
    campaign.meter.count("controls", rows, forward=1)
    return campaign.pipeline.classifier.logits(x).double()


def _bounded(campaign: Campaign, forward: Forward, rows: Tensor, low: Tensor, high: Tensor) -> Interval:
    campaign.meter.count("controls", rows, forward=1)
    return bounded(forward, low, high)


def _slack(campaign: Campaign, logits: Tensor) -> float:
    scale = float(logits.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return max(campaign.pipeline.classifier.info.twin.allowed(scale), campaign.slack)


def _box(campaign: Campaign, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The box around everything that counts as inside of each ball, in units of the model."""
    ball = campaign.ball.select(rows)
    reach = per_sample(ball.eps.double() * (1 + RELATIVE_TOLERANCE) + 2 * ABSOLUTE_TOLERANCE, ball.x)
    low = torch.maximum(ball.x.double() - reach, ball.lower.double()).float()
    high = torch.minimum(ball.x.double() + reach, ball.upper.double()).float()
    return campaign.to_input(low, rows), campaign.to_input(high, rows)


def _outside(logits: Tensor, scores: Interval, slack: float) -> int:
    inside = (logits >= scores.low - slack) & (logits <= scores.high + slack)
    # Bounds that are no numbers rule nothing out.
    unknown = scores.low.isnan() | scores.high.isnan()
    return int((~(inside | unknown)).any(dim=1).sum())


def _together(one: Certified, other: Certified) -> Certified:
    return Certified(
        one.samples + other.samples,
        one.proven + other.proven,
        one.contradicted + other.contradicted,
        one.outside + other.outside,
    )
