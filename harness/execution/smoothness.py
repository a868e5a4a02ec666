"""Do the signs of slopes depend on how long the steps are? Asked where the plan relies on answers for its gradients."""

from collections.abc import Sequence
from functools import partial

from ..attacks.pgd import PGD
from ..decision import Objective
from ..gradients import FiniteDifferences
from ..gradients.stability import Stability, sign_stability
from ..planner import Step
from ..request import Request
from .campaign import Campaign
from .questioning import asked, coarsest

SAMPLES = 8
_DRAWS = 8
"""Of a random target, the same for all points of a sample: what differs is then the point."""


def smoothness(campaign: Campaign, steps: Sequence[Step]) -> Stability | None:
    """The stability of signs on a few standing samples; None where no gradient of the plan rests on answers."""
    rows = campaign.spread(campaign.ledger.standing_rows(), SAMPLES)
    if len(rows) == 0 or not any(s.runs and s.gradient is not None and s.gradient.queries(1) for s in steps):
        return None
    draws = _DRAWS if campaign.pipeline.random else 1
    step = Step(Request(name="smoothness", config=PGD()), True, True, FiniteDifferences(), draws, "")
    problem = campaign.problem(step, rows, phase="controls")
    target = campaign.target(step, rows, phase="controls")
    stream = target.stream.select(target.rows).child("smoothness")
    campaign.observer.started("signs over step sizes", len(rows), 0)
    ask = partial(asked, target, Objective("margin", problem.goal), stream)
    try:
        return sign_stability(ask, problem.x, stream.child("places"), quantum=coarsest(target))
    except Exception:  # third-party code; what fails here fails in an attack, which is recorded
        return None
