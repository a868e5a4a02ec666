"""How many draws of a random target a gradient needs, measured before the attacks begin."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from ..attacks.pgd import PGD
from ..decision import Objective
from ..gradients import AnyEstimator
from ..gradients.agreement import enough_draws
from ..planner import Agreement, Step
from ..request import Request
from ..target import Problem
from .campaign import Campaign
from .local import LocalTarget

SAMPLES = 20
LEAST = 8
"""Fewer draws than these would call a point broken that fell by luck."""


def agreements(campaign: Campaign, estimators: Sequence[AnyEstimator]) -> dict[str, Agreement]:
    """For each estimator, by its label, the draws after which two independent halves of them tell the same gradient.

    One that fails here is left out: its attacks will say why.
    """
    rows = campaign.spread(campaign.ledger.standing_rows(), SAMPLES)
    found: dict[str, Agreement] = {}
    if len(rows) == 0:
        return found
    for estimator in estimators:
        step = Step(Request(name="draws", config=PGD()), True, True, estimator, 1, "")
        campaign.observer.started("draws per gradient", len(rows), 0)
        try:
            problem = campaign.problem(step, rows, phase="controls")
            target = campaign.target(step, rows, phase="controls")
            draws, cosine = enough_draws(partial(_half, problem, target), start=LEAST)
        except Exception:
            continue
        found[estimator.label] = Agreement(draws, cosine)
    return found


def _half(problem: Problem, target: LocalTarget, draws: int, which: int) -> Tensor:
    """The margin's gradient over `draws` draws at a random point of each ball; `which` half, so other draws."""
    points = problem.ball.random_start(problem.stream, 0)
    return replace(target, draws=draws).gradient(points, Objective("margin", problem.goal), 2 * draws + which).gradient
