"""Other thresholds of a detector: set by held-out clean samples, attacked again, every break shared with all others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attacks.transfer import Transfer
from ..errors import UnfinishedError
from ..planner import Step
from ..randomness import Stream
from ..results import AttackRecord
from ..thresholds import rejected, threshold_for
from . import scoring
from .aside import Aside
from .campaign import Campaign
from .ledger import Ledger
from .points import as_point

SHARES = (0.05, 0.01)
"""Of clean samples rejected; the strictest first, because what is accepted there is accepted at all the others."""
AIMS = (0.2, 0.5, 0.9)
"""Further shares that are attacked for the curve alone: an attack ends where it is accepted, hence says nothing of
stricter thresholds."""
SHARED = "other thresholds"
"""The name under which breaks found at another threshold are booked."""


@dataclass(frozen=True)
class HeldOut:
    """What held-out clean samples say: a score for each draw of each, and why there is none."""

    scores: Tensor
    samples: int
    missing: str = ""


def operate(campaign: Campaign, steps: Sequence[Step]) -> HeldOut:
    """Attack other thresholds by the gradient attacks among `steps`; the campaign keeps what is found in `points`.

    What fails here leaves the deployed threshold's numbers as they are, and says so.

    Raises:
        UnfinishedError: the device was lost.
    """
    if not campaign.pipeline.rejects:
        return HeldOut(torch.empty(0), 0)
    try:
        return _operated(campaign, steps)
    except UnfinishedError:
        raise
    except Exception as error:  # third-party code, once more on all clean samples and again
        campaign.points.clear()
        campaign.curve_attacks.clear()
        reason = f"it failed there: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return HeldOut(torch.empty(0), _count(campaign), reason)


def _operated(campaign: Campaign, steps: Sequence[Step]) -> HeldOut:
    direct = [
        s for s in steps if s.runs and not s.blackbox and s.gradient and not isinstance(s.request.config, Transfer)
    ]
    if not direct:
        return HeldOut(torch.empty(0), _count(campaign), "no gradient attack is in the plan")
    held_out = _held_out(campaign)
    scores, every = held_out.scores.numpy(), [campaign]
    for share in () if held_out.missing else SHARES:
        threshold = threshold_for(scores, share)
        every.append(_attacked(campaign, every, direct, threshold, f"{100 * share:g} % rejected"))
    for share in AIMS if campaign.ledger.refusals is not None else ():
        _aim(campaign, direct, share)
    for share, there in zip(SHARES, every[1:], strict=False):
        for giver in every:
            offer(giver, there, SHARED)
        there.final_score()
        held_back = rejected(scores, there.pipeline.threshold)
        campaign.points.append(as_point(there, share=share, held_out=held_back))
    _shared_back(campaign, every)
    return held_out


def _count(campaign: Campaign) -> int:
    return 0 if campaign.job.held_out is None else len(campaign.job.held_out)


def _held_out(campaign: Campaign) -> HeldOut:
    """The raw scores of the held-out samples, as deployed."""
    x, pipeline = campaign.job.held_out, replace(campaign.pipeline, threshold=0.0)
    if x is None:
        return HeldOut(torch.empty(0), 0, "no held-out clean samples were given")
    if pipeline.random and pipeline.rule.kind == "majority":
        return HeldOut(torch.empty(0), len(x), "a majority rejects by votes, which no threshold of a score moves")
    draws = scoring.SELECTION_DRAWS if pipeline.random else 1
    campaign.observer.started("held-out samples", len(x), len(x) * draws * pipeline.draws)
    stream = Stream.create(campaign.job.seed, "held out", torch.arange(len(x), device=campaign.job.device))
    found = []
    try:
        for rows in torch.split(torch.arange(len(x)), max(1, campaign.batch // (draws * pipeline.draws))):
            campaign.meter.count_elsewhere("controls", len(rows) * draws * pipeline.draws)
            points = x[rows].to(campaign.job.device).repeat_interleave(draws, dim=0)
            with torch.no_grad():
                score = pipeline.decide(points, stream.select(rows.to(stream.keys.device)).fold(draws)).rejection
            assert score is not None
            found.append(score.double().cpu())
    except Exception as error:  # third-party code on samples of its own: what is known of the others stays
        reason = str(error).partition("\n")[0]
        return HeldOut(torch.empty(0), len(x), f"the held-out samples have no score: {reason}")
    return HeldOut(torch.cat(found), len(x))


def _attacked(
    campaign: Campaign, givers: Sequence[Campaign], steps: Sequence[Step], threshold: float, name: str
) -> Campaign:
    """A campaign of its own against another threshold, begun with what is known already."""
    there = _at(campaign, threshold, name)
    there.clean_pass()
    for giver in givers:
        offer(giver, there, SHARED)
    there.attack([_named(step, name) for step in steps])
    return there


def _at(campaign: Campaign, threshold: float, name: str, *, number: bool = True) -> Campaign:
    ledger = Ledger(campaign.job.x)
    ledger.refusals = campaign.ledger.refusals
    ledger.taken, ledger.active = campaign.ledger.taken, campaign.ledger.active
    there = replace(
        campaign,
        pipeline=replace(campaign.pipeline, threshold=threshold),
        ledger=ledger,
        records=[],
        points=[],
        observer=Aside(campaign.observer, name, number),
        blackbox_falls=0,
        only=torch.zeros_like(campaign.only),
        revising=False,
        added=[],
        adding=[],
        pulses={},
        scored=False,
    )
    there.__dict__["trained"] = campaign.trained
    return there


def _aim(campaign: Campaign, steps: Sequence[Step], share: float) -> None:
    """Look for wrong answers that score below that share of the clean ones, also from samples that are rejected there.

    These thresholds come from the evaluated samples themselves: they say where to look, and are not reported.
    """
    refusals = campaign.ledger.refusals
    assert refusals is not None
    scores = refusals.clean[~refusals.clean.isnan()].numpy()
    name = f"{100 * share:g} % rejected, for the curve"
    there = _at(campaign, threshold_for(scores, share), name, number=False)
    there.clean_pass()
    there.ledger.clean_rate = refusals.right.double()
    there.ledger.rate = refusals.right.double()
    offer(campaign, there, SHARED)
    joint = [step for step in steps if getattr(step.request.config, "loss", "") == "joint"]
    there.attack([_named(step, name) for step in joint or steps[:1]])
    campaign.curve_attacks += there.records


def _shared_back(campaign: Campaign, every: Sequence[Campaign]) -> None:
    """What was found at other thresholds counts at the deployed one too."""
    record = AttackRecord(name=SHARED, attack="replay", status="ok", reason="points found at other thresholds")
    for giver in every:
        attempted, fell = offer(giver, campaign, SHARED)
        record.attempted, record.broken = record.attempted + attempted, record.broken + fell
    if record.broken:
        record.robust_accuracy = campaign.ledger.share
        campaign.records.append(record)
        campaign.observer.finished(record)


def offer(giver: Campaign, taker: Campaign, name: str) -> tuple[int, int]:
    """Replay what one threshold's attacks found at another; how many points that were, and how many samples fell."""
    attempted = fell = 0
    for rows, x in _offered(giver, taker):
        seen = scoring.selected(taker, taker.ledger, x, rows, name)
        z = taker.coordinates.select(rows).from_input(x)
        distance = taker.ball.select(rows).distances(z)
        fell += taker.ledger.record(rows, x, distance, seen.rate, seen.score, seen.label, name)
        # A break is known for a break, whatever else will be tried.
        taker.ledger.attacked[rows[seen.rate < 0.5]] = True
        attempted += len(rows)
    return attempted, fell


def _offered(giver: Campaign, taker: Campaign) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows that stand at the taker's threshold, and points of theirs that may fall there, in blocks."""
    refusals = taker.ledger.refusals
    if refusals is not None:
        chosen, points = refusals.least <= taker.pipeline.threshold, refusals.x
    elif giver is not taker:
        chosen, points = torch.tensor([by is not None for by in giver.ledger.by], dtype=torch.bool), giver.ledger.x
    else:
        return
    rows = (taker.ledger.standing & chosen).nonzero().squeeze(1)
    for block in torch.split(rows, taker.block):
        if len(block):
            yield block, points[block]


def _named(step: Step, name: str) -> Step:
    return replace(step, request=step.request.model_copy(update={"name": f"{step.request.name} ({name})"}))
