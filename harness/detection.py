"""What an evaluation says about a target that may refuse to answer."""

import torch

from .evaluation import Evaluated
from .execution.points import as_point
from .results import RejectionRecord
from .thresholds import area, receiver, rejected, thinned

MOST_CORNERS = 400
"""Of the curve in the record; the area rests on all."""


def rejection_record(done: Evaluated) -> RejectionRecord | None:
    """Its operating points and its curve; None where nothing is ever rejected, or the clean samples were not asked."""
    campaign, held_out = done.campaign, done.held_out
    if not campaign.pipeline.rejects or not bool(campaign.ledger.seen.any()):
        return None
    record = RejectionRecord(
        deployed=as_point(campaign),
        points=campaign.points,
        held_out=held_out.samples,
        points_missing=held_out.missing,
        confidence=done.job.gate.confidence,
    )
    refusals = campaign.ledger.refusals
    if refusals is None:
        record.curve_missing = "the target is random, so a sample has no lowest score"
        return record
    known = refusals.clean[~refusals.clean.isnan()]
    record.constant = len(known) > 1 and bool((known == known[0]).all())
    if not done.complete or not campaign.curve_attacks:
        record.curve_missing = held_out.missing if done.complete else "the run ended before that"
        return record
    undone = [attack for attack in campaign.curve_attacks if attack.status in ("crashed", "starved")]
    if undone:
        record.curve_missing = f"{undone[0].name} {undone[0].status}: {undone[0].reason}"
        return record
    chosen = refusals.right & refusals.attacked
    adaptive = refusals.least[chosen].numpy()
    corners = receiver(known.numpy(), adaptive)
    record.examples, record.wrong = len(adaptive), int((refusals.least[chosen] < torch.inf).sum())
    if not corners:
        record.curve_missing = "no sample that is right when clean was attacked"
        return record
    record.area = area(corners)
    for point in (record.deployed, *record.points):
        point.detection = rejected(adaptive, point.threshold)
    record.curve = thinned(corners, MOST_CORNERS)
    return record
