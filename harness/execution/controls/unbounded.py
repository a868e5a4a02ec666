"""The gradient attack with the whole box to move in."""

from dataclasses import replace

from ...attacks.pgd import PGD
from ...decision import LossName
from ...diagnosis.unbounded_fails import Unbounded
from ...errors import NotApplicableError
from ..lab import Lab

_STEP = 0.02
"""Of the box, for those that long steps carry past everything that would be accepted."""


def unbounded(lab: Lab) -> Unbounded:
    """It has to succeed. A per-feature box has no wider one.

    Any point of the box will do, so the steps are those of Linf whatever the norm of the threat model: an L1 ball as
    large as the box would still be crossed a few features at a time.
    """
    job, campaign = lab.campaign.job, lab.campaign
    if job.targets is not None or job.box is not None:
        raise NotApplicableError("a box per feature or a target class leaves no unbounded attack to compare with")
    rows = lab.right()
    rejects = campaign.pipeline.rejects
    loss: LossName = "joint" if rejects else "margin"
    ball = campaign.ball.select(rows)
    box = replace(ball.with_eps(ball.eps * 0 + 1), norm="linf")
    tried = lab.attack(PGD(loss=loss, steps=30, restarts=2), rows, key="wide", ball=box)
    left = (~tried.fell).nonzero().squeeze(1)
    if len(left):
        patient = PGD(loss=loss, steps=60, step_size=_STEP, start="sample")
        again = lab.attack(patient, rows[left], key="patient", ball=box.select(left))
        left = left[~again.fell]
    return Unbounded(samples=len(rows), survived=len(left), rejects=rejects)
