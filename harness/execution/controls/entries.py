"""Which entries of the plan a control lets run again."""

from ...attacks import ATTACKS
from ...attacks.latent import Latent
from ...decision import MATCHING_LOSSES, TWO_TERMS
from ...errors import NotApplicableError
from ...planner import Step
from ..lab import Lab


def climbing(lab: Lab) -> list[Step]:
    """The entries that climb gradients of the target with a loss that means something for any question asked of it."""
    found = [step for step in lab.direct if not isinstance(step.request.config, Latent)]
    return [step for step in found if getattr(step.request.config, "loss", "") not in MATCHING_LOSSES]


SEARCHING = 4
"""Entries that search for what is planted: what none of these finds, others like them seldom find."""


def searching(lab: Lab) -> list[Step]:
    """Some of them, revisions of the plan before all but the first two; of those that ask for scores where none climbs.

    Raises:
        NotApplicableError: there is neither.
    """
    asking = [step for step in lab.steps if step.runs and ATTACKS[step.request.config.attack].needs == "scores"]
    found = climbing(lab) or asking
    if not found:
        raise NotApplicableError("no entry of the plan climbs a gradient or asks for scores")
    rest = found[2:]
    revisions = [step for step in rest if step.revises]
    return [*found[:2], *revisions[-2:], *(step for step in rest if not step.revises)][:SEARCHING]


def settled(lab: Lab) -> Step:
    """The main gradient attack as the plan had it in the end: what revised it last; where the target may refuse to
    answer, the first whose loss has a term for that.

    Raises:
        NotApplicableError: there is none.
    """
    entries = climbing(lab)
    if not entries:
        raise NotApplicableError("no attack of the plan climbs a gradient of the target")
    joint = [step for step in entries if getattr(step.request.config, "loss", "") in TWO_TERMS]
    main = joint[0] if lab.campaign.pipeline.rejects and joint else entries[0]
    revised = [step for step in entries if step.revises == main.request.name]
    return revised[-1] if revised else main
