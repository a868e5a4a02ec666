"""Gradients and scores from deployed answers alone; every point of a sample is asked with the same draws."""

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..decision import Objective
from ..gradients import eot
from ..gradients.questions import estimate, resolve_size
from ..gradients.spec import EstimatorConfig
from ..grid import LEVELS
from ..randomness import Stream
from ..rule import average
from ..stage import quantum
from ..target import Answer

if TYPE_CHECKING:
    from .local import LocalTarget


def answer(
    target: "LocalTarget", x: Tensor, objective: Objective, stream: Stream, estimator: EstimatorConfig
) -> Answer:
    """Loss and score at x (N, ...), and the slope of the deployed loss as `estimator` finds it."""

    radius = target.radius
    around = torch.full((len(x),), 0.01, device=x.device) if radius is None else radius[target.rows]
    size = resolve_size(estimator, around, coarsest(target))
    here = judged(target, x, objective, stream)
    gradient = estimate(estimator, partial(asked, target, objective, stream), x, stream.child("directions"), size)
    return Answer(here.loss, gradient, here.score, here.broken)


def judged(target: "LocalTarget", x: Tensor, objective: Objective, stream: Stream) -> Answer:
    """Loss and score of the deployed model at x (N, ...) over `target.draws` draws, without a gradient."""
    answer = _asked(target, x[:, None], objective, stream)
    return Answer(answer.loss, torch.zeros_like(x), answer.score, answer.broken)


def asked(target: "LocalTarget", objective: Objective, stream: Stream, points: Tensor) -> Tensor:
    """The deployed loss (N, M) at points (N, M, ...), all points of a sample with the same draws."""
    return _asked(target, points, objective, stream).loss.reshape(points.shape[:2])


def coarsest(target: "LocalTarget") -> float:
    """The smallest change of a feature, in attack space, that every stage notices for certain."""
    grid = 1 / LEVELS if target.coordinates.grid else 0.0
    return max([grid, target.pipeline.classifier.info.quantum, *(quantum(stage) for stage in target.pipeline.stages)])


def _asked(target: "LocalTarget", points: Tensor, objective: Objective, stream: Stream) -> Answer:
    """Answers to points (N, M, ...), flat (N * M,)."""
    asked = points.shape[1]
    flat, n = points.flatten(0, 1), target.draws
    owner = torch.arange(len(points), device=points.device).repeat_interleave(asked)
    height = max(1, target.batch // n)
    losses, scores, broken = [], [], []
    for start in range(0, len(flat), height):
        mine = owner[start : start + height]
        rows = target.rows[mine]
        target.meter.count(target.phase, rows, forward=n)
        with torch.no_grad():
            inputs = eot.fold(target.inputs(flat[start : start + height], rows), n)
            decision = target.headed(target.pipeline.once(inputs, stream.select(mine).fold(n)), eot.fold(rows, n))
            if target.pipeline.rule.kind != "single":
                decision, folded = average(decision, n, known=True), objective.select(mine)
            else:
                folded = objective.select(mine).fold(n)
            loss, score = folded(decision), folded.goal.score(decision)
        times = len(loss) // len(mine)
        usable = ~decision.logits.isnan().any(dim=1)
        losses.append(eot.mean_known(loss, usable, times))
        scores.append(eot.mean_known(score, usable, times))
        # These are deployed answers: no slack, unless the caller wants no break to count at all.
        broken.append(eot.every(score > (0.0 if math.isfinite(target.slack) else math.inf), times))
    return Answer(torch.cat(losses), flat.new_zeros(0), torch.cat(scores), torch.cat(broken))
