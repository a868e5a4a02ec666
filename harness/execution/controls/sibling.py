"""The target without its defenses."""

from dataclasses import replace
from typing import TypedDict

from torch import Tensor

from ...attacks.pgd import PGD
from ...diagnosis.attack_broken import Sibling
from ...errors import NotApplicableError
from ...gradients import Bpda, Exact
from ...pipeline import Pipeline
from ...planner import Step
from ...threat import Ball
from ..lab import Lab

STEPS = 20


class Bare(TypedDict):
    """What an attack on the classifier alone needs."""

    pipeline: Pipeline
    step: Step


def bare(lab: Lab) -> Bare | None:
    """The classifier alone and its own gradient; None where it takes no samples as they are, or has no gradient."""
    pipeline = lab.campaign.pipeline
    if pipeline.reshaped or pipeline.no_gradient:
        return None
    own = Pipeline(pipeline.classifier, rule=pipeline.rule, noisy_classifier=pipeline.noisy_classifier)
    gradient = Bpda() if pipeline.classifier.info.obstacles else Exact()
    draws = lab.main.draws if own.random else 1
    return {"pipeline": own, "step": replace(lab.main, gradient=gradient, draws=draws)}


def sibling(lab: Lab) -> Sibling:
    """At the radius of the threat model; where samples stand there, with the whole box to move in as well."""
    campaign = lab.campaign
    if not campaign.pipeline.stages and campaign.pipeline.detector is None:
        raise NotApplicableError("there is no defense to take away")
    without = bare(lab)
    if without is None:
        raise NotApplicableError("the bare model takes no samples as they are, or has no gradient")
    rows = lab.right()
    tried = lab.attack(PGD(steps=STEPS), rows, key="bare", **without)
    unbounded = None
    if not bool(tried.fell.all()) and campaign.job.targets is None and campaign.job.box is None:
        free = lab.attack(PGD(steps=30, restarts=2), rows, key="wide", ball=_wide(lab, rows), **without)
        unbounded = int(free.fell.sum())
    return Sibling(
        samples=len(rows),
        bare=int(tried.fell.sum()),
        defended=int((campaign.ledger.rate[rows] < 0.5).sum()),
        unbounded=unbounded,
    )


def _wide(lab: Lab, rows: Tensor) -> Ball:
    """Room for everything inside the box."""
    ball = lab.campaign.ball.select(rows)
    features = ball.x[0].numel()
    limit = {"linf": 1.0, "l2": features**0.5, "l1": float(features), "l0": float(features)}
    return ball.with_eps(ball.eps * 0 + limit[ball.norm])
