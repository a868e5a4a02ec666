"""Where a gradient says that nothing happens: does nothing happen there?

Over an obstacle no gradient is the slope at a point, so small differences tell nothing; over long steps they do.
"""

import torch
from torch import Tensor

from ..decision import Objective
from ..diagnosis.records import LongSteps
from ..randomness import Stream
from ..target import Problem
from .local import LocalTarget

SAMPLES, DIRECTIONS, FEATURES = 8, 4, 16
STEPS = (0.1, 0.03, 0.2)
"""Of the width of the bounds, to either side; the best counts. What rounds asks for several levels, networks bend."""


def long_steps(problem: Problem, target: LocalTarget) -> LongSteps | None:
    """Random steps from the samples, along either half of the features, as the deployed model answers them.

    None with few features, of which half may mean anything.
    """
    if problem.x[0].numel() < FEATURES:
        return None
    points, stream = 0.02 + 0.96 * problem.x, problem.stream.child("long")
    # A random projection of the scores: a margin bends where the second class changes.
    weights = stream.normal(0, (target.decide(points, 0).logits.shape[1],)).to(points)
    gradient = target.gradient(points, Objective("margin", problem.goal, weights=weights), 0).gradient
    found = None
    for step in STEPS:
        now = _along(target, points, gradient, weights, stream, step)
        if found is None or (now.agrees, now.correlation) > (found.agrees, found.correlation):
            found = now
        if found.agrees:
            break
    return found


def _along(
    target: LocalTarget, points: Tensor, gradient: Tensor, weights: Tensor, stream: Stream, step: float
) -> LongSteps:
    flat = gradient.flatten(1).abs()
    rank = flat.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    small = (rank < flat.shape[1] // 2).reshape(points.shape)
    seen, told = [], []
    for half in (small, ~small):
        for number in range(DIRECTIONS):
            move = step * stream.signs(number + 1, tuple(points.shape[1:])).to(points) * half
            ahead, behind = (points + move).clamp(0, 1), (points - move).clamp(0, 1)
            rise = target.decide(ahead, 0).logits - target.decide(behind, 0).logits
            seen.append((weights * rise.nan_to_num(0.0, 0.0, 0.0)).sum(dim=1))
            told.append((gradient * (ahead - behind)).flatten(1).sum(dim=1))
    return _compared(torch.stack(seen).double(), torch.stack(told).double())


def _compared(seen: Tensor, told: Tensor) -> LongSteps:
    """Both (2 * DIRECTIONS, N); each sample counts alike, however large its logits are."""
    seen, told = (each / each.square().mean(dim=0).sqrt().clamp(min=1e-30) for each in (seen, told))
    blind, expected = (
        float(each[:DIRECTIONS].square().sum() / each.square().sum().clamp(min=1e-30)) for each in (seen, told)
    )
    moving = ((seen != 0).any(dim=0) & (told != 0).any(dim=0)).sum().clamp(min=1)
    return LongSteps(blind, expected, float((seen * told).mean(dim=0).sum() / moving))
