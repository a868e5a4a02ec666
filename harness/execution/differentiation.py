"""Gradients by backward passes: draws folded into the batch, cut into pieces where they do not fit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..decision import Decision, Objective
from ..errors import NoGradientError
from ..geometry import per_sample
from ..gradients import Exact, Smoothed, eot, passing
from ..gradients.cleaned import cleaned
from ..gradients.spec import EstimatorConfig
from ..randomness import Stream
from ..rule import average
from ..target import Answer

if TYPE_CHECKING:
    from .local import LocalTarget

_CLOUD = 0.5
"""Of the radius: how far neighbours lie unless told."""


def answer(
    target: "LocalTarget", x: Tensor, objective: Objective, stream: Stream, estimator: EstimatorConfig
) -> Answer:
    """Loss, gradient and score at x (N, ...), over `target.draws` draws for each sample.

    The loss of a target that answers with one draw is the mean of the losses; that of a target whose product averages
    or votes is the loss of the mean probability.
    """
    n, pieces = target.draws, list(_pieces(target))
    streams = stream.fold(n)
    target.meter.count(target.phase, target.rows, forward=n * target.looks, backward=n)
    if len(pieces) == 1:
        points, decision = _forward(target, x, streams, estimator)
        joined, folded = _joined(target, decision, objective)
        with torch.enable_grad():
            loss = folded(joined)
        gradient = cleaned(_gradient(loss.sum(), points, estimator))
        return _answered(target, loss.detach(), _over_draws(target, gradient, n), joined, folded)
    return _piecewise(target, x, objective, streams, estimator)


def smoothed(
    target: "LocalTarget", x: Tensor, objective: Objective, stream: Stream, estimator: EstimatorConfig
) -> Answer:
    """The mean gradient over Gaussian neighbours of x (N, ...); loss and gradient are theirs."""
    assert isinstance(estimator, Smoothed)
    size = _CLOUD * target.radius[target.rows] if target.radius is not None else x.new_full((len(x),), 0.01)
    if estimator.size is not None:
        size = torch.full_like(size, estimator.size)
    total: Answer | None = None
    for number in range(estimator.directions):
        noise = stream.child("cloud").normal(number, tuple(x.shape[1:])) * per_sample(size, x)
        for sign in (1.0, -1.0):
            neighbour = (x + sign * noise).clamp(0.0, 1.0)
            part = answer(target, neighbour, objective, stream.child(f"{number}"), estimator)
            total = (
                part
                if total is None
                else Answer(total.loss + part.loss, total.gradient + part.gradient, part.score, part.broken)
            )
    assert total is not None
    count = estimator.neighbours
    return Answer(total.loss / count, total.gradient / count, total.score, total.broken)


def _pieces(target: "LocalTarget") -> Iterator[tuple[int, int]]:
    """First and last draw of each part of the draws that fits into a batch."""
    height = max(1, target.batch // len(target.rows))
    for start in range(0, target.draws, height):
        yield start, min(start + height, target.draws)


def _forward(target: "LocalTarget", x: Tensor, streams: Stream, estimator: EstimatorConfig) -> tuple[Tensor, Decision]:
    """Points (N * n, ...) that carry the gradient, and the answers to them, for n streams per sample."""
    n = len(streams.keys) // len(x)
    pipeline = target.source or target.pipeline
    with torch.enable_grad():
        points = eot.fold(x.detach(), n).requires_grad_(True)
        rows = eot.fold(target.rows, n)
        inputs = target.inputs(points, rows)
        through = passing(estimator, target.nets)
        exact = isinstance(estimator, Exact) or getattr(estimator, "around", "") == "exact"
        decision = pipeline.differentiable(inputs, streams, through, bpda=not exact, features=target.features)
        return points, target.headed(decision, rows)


def _joined(target: "LocalTarget", decision: Decision, objective: Objective) -> tuple[Decision, Objective]:
    """One decision per sample where the product averages, one per draw where it does not, and the fitting objective."""
    n = target.draws
    if not _averages(target):
        return decision, objective.fold(n)
    with torch.enable_grad():
        return average(decision, n, known=True), objective


def _gradient(loss: Tensor, points: Tensor, estimator: EstimatorConfig) -> Tensor:
    if not loss.requires_grad:
        raise NoGradientError(f"no gradient from the model's output to its input by {estimator.label}")
    (gradient,) = torch.autograd.grad(loss, [points])
    return gradient


def _answered(
    target: "LocalTarget", loss: Tensor, gradient: Tensor, decision: Decision, objective: Objective
) -> Answer:
    """`loss` and `decision` per sample or per draw, as the rule has it."""
    rejection = None if decision.rejection is None else decision.rejection.detach()
    logits = decision.logits.detach()
    # NaN from the twin may be the twin's own trouble, so it is no break here; `Best` asks the deployed model.
    usable = ~logits.isnan().any(dim=1)
    score = torch.where(usable, objective.goal.score(Decision(logits, rejection)), -torch.inf)
    n = len(score) // len(target.rows)
    score_mean, broken = eot.mean_known(score, usable, n), eot.every((score > target.slack) | ~usable, n)
    # Of a few draws without an answer the others speak; a point without any answer is no break here.
    return Answer(eot.mean_known(loss, usable, n), gradient, score_mean, broken & ~score_mean.isneginf())


def _piecewise(
    target: "LocalTarget", x: Tensor, objective: Objective, streams: Stream, estimator: EstimatorConfig
) -> Answer:
    """As `answer`, some draws at a time: all answers first, then each part again with the slope of the loss at them."""
    n = target.draws
    keys = streams.keys.reshape(len(x), n)
    parts = [Stream(keys[:, first:last].reshape(-1)) for first, last in _pieces(target)]
    target.meter.count(target.phase, target.rows, forward=n * target.looks)
    seen = [_forward(target, x, part, estimator)[1].detach() for part in parts]
    leaf = Decision.cat_draws(seen, len(x))
    with torch.enable_grad():
        joined, folded = _joined(target, leaf, objective)
        loss = folded(joined)
    slopes = torch.autograd.grad(loss.sum(), leaf.parts, allow_unused=True)
    gradients = []
    for (first, last), part in zip(_pieces(target), parts, strict=True):
        points, decision = _forward(target, x, part, estimator)
        with torch.enable_grad():
            product = torch.zeros((), device=x.device)
            for slope, value in zip(slopes, decision.parts, strict=True):
                if slope is not None:
                    weights = slope.reshape(len(x), n, *slope.shape[1:])[:, first:last].reshape(value.shape)
                    product = product + (weights * value).sum()
        gradients.append(cleaned(_gradient(product, points, estimator)).reshape(len(x), last - first, *x.shape[1:]))
    # Joined before they are added up, so that no sum depends on how the draws were cut.
    gradient = _over_draws(target, torch.cat(gradients, dim=1).flatten(0, 1), n)
    return _answered(target, loss.detach(), gradient, joined, folded)


def _averages(target: "LocalTarget") -> bool:
    """Whether the product joins its draws before it answers."""
    return target.pipeline.rule.kind != "single"


def _over_draws(target: "LocalTarget", gradient: Tensor, n: int) -> Tensor:
    """From (N * n, ...) to (N, ...): the mean of the draws' own losses, or the sum over what one mean was made of."""
    mean = eot.mean(gradient, n)
    return mean * n if _averages(target) else mean
