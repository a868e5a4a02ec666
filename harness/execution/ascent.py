"""Does a gradient lead uphill on the deployed model, clearly more than chance does?"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..decision import Goal, Objective
from ..geometry import per_sample, steepest
from ..gradients.ascent import Ascent
from ..randomness import Stream
from ..target import Problem
from .local import LocalTarget
from .probe import first_line

SAMPLES, RANDOM_SAMPLES = 32, 16
STEPS = 10
STEP = 0.25
"""Of eps."""
PAIRS = 5
"""Random directions; each is walked both ways, so that a slope alone has a mean of zero."""
DRAWS = 8
"""Answers of a random target whose mean is its score."""
GRADIENT_DRAWS = 5
"""Draws behind one of its gradients: ten steps average over ten times as many."""
_SPARSITY = 0.05
"""Share of the features that a step moves in L1, as in PGD."""
_MOST = 1e6
"""The score in place of an infinite one, or the largest finite one."""
_EQUAL = 1e-5
_CORNER = 0.95
"""Among few features random directions hold the best one, which no step can exceed; this share of it is enough."""
_MANY = 64
"""With fewer features the bar is lower in proportion: the best of ten random directions is nearly the best of all."""
_DECIDED = 0.25
"""Share of samples whose label has to move before the others, of which labels tell nothing, are left out."""

_Score = Callable[[Tensor], Tensor]


def measure(problem: Problem, target: LocalTarget, *, labels_only: bool) -> Ascent:
    """Climb ten steps on the gradient of `target` from each sample of the problem, and ask the deployed model.

    Args:
        labels_only: ask the twin instead, because the deployed scores move only at a flip.
    """
    if target.estimator is None:
        raise ValueError("the target has no gradient")
    name = target.estimator.label
    try:
        return _measure(problem, target, name, labels_only)
    except Exception as error:  # third-party graphs may raise anything, and a gradient that fails leads nowhere
        return Ascent(gradient=name, samples=len(problem.x), error=first_line(error))


def _measure(problem: Problem, target: LocalTarget, name: str, labels_only: bool) -> Ascent:
    climbed = _climbed(problem, target)
    points = [problem.x, climbed, *_strolls(problem)]
    rises = _rises(_deployed(target, problem.goal), points)
    # Scores that nothing moves are saturated (a sharp softmax) or labels; the twin's are tied to them by parity.
    still = torch.full_like(rises[0], labels_only, dtype=torch.bool) | (rises == 0).all(dim=0)
    if bool(still.any()):
        rises = torch.where(still, _rises(_by_twin(target, problem.goal), points), rises)
    if labels_only:
        kept = _decided(rises, (climbed != problem.x).flatten(1).any(dim=1))
        rises, still = rises[:, kept], still[kept]
    rise, random = rises[0], rises[1:]
    bar = random.mean(dim=0) + min(1.0, problem.x[0].numel() / _MANY) * random.std(dim=0, correction=0)
    bar = torch.minimum(bar, _CORNER * random.amax(dim=0))
    # A linear model with one feature that matters reaches the bar exactly, up to rounding.
    up = (rise > 0) & (rise >= bar - _EQUAL * bar.abs())
    return Ascent(
        gradient=name,
        samples=len(rise),
        ascended=int(up.sum()),
        rise=float(rise.mean()),
        random_rise=float(random.mean()),
        by_twin=int(still.sum()),
        rises=tuple(rise.tolist()),
    )


def _decided(rises: Tensor, moved: Tensor) -> Tensor:
    """Positions of samples that say something: a label that no step flips says nothing of a gradient that is there."""
    decided = (rises != 0).any(dim=0) | ~moved
    flipped = (rises != 0).any(dim=0)
    return (decided if flipped.sum() >= _DECIDED * len(flipped) else torch.ones_like(decided)).nonzero().squeeze(1)


def _rises(score: _Score, points: list[Tensor]) -> Tensor:
    """How much further beyond the boundary every point but the first is than the first, (points - 1, N)."""
    scores = torch.stack([score(point) for point in points])
    return (scores[1:] - scores[0]).nan_to_num(0.0)


def _climbed(problem: Problem, target: LocalTarget) -> Tensor:
    objective, x = Objective("margin", problem.goal), problem.x
    for step in range(STEPS):
        # NaN is no direction; a zero gradient stays where it is, so that it cannot pass for one.
        gradient = target.gradient(x, objective, step).gradient.nan_to_num(0.0, 0.0, 0.0)
        x = _moved(problem, x, gradient, STEP)
    return x


def _strolls(problem: Problem) -> list[Tensor]:
    """Points as far away as the ball allows, in random directions and their opposites."""
    points, shape = [], tuple(problem.x.shape[1:])
    stream: Stream = problem.stream.child("stroll")
    for pair in range(PAIRS):
        signs = problem.ball.norm in ("linf", "l2")
        direction = stream.signs(pair, shape) if signs else stream.normal(pair, shape)
        points += [_moved(problem, problem.x, way * direction, 1.0) for way in (1, -1)]
    return points


def _moved(problem: Problem, x: Tensor, direction: Tensor, share: float) -> Tensor:
    ball = problem.ball
    sparsity = torch.full((len(x),), _SPARSITY * x[0].numel(), device=x.device)
    step = share * per_sample(ball.reach, x) * steepest(direction, ball.norm, sparsity)
    return ball.project(x + step)


def _deployed(target: LocalTarget, goal: Goal) -> _Score:
    # The same draws at every point: what differs is then the point.
    draws = range(DRAWS if target.random else 1)
    return lambda x: torch.stack([_bounded(goal.score(target.decide(x, draw))) for draw in draws]).mean(dim=0)


def _by_twin(target: LocalTarget, goal: Goal) -> _Score:
    return lambda x: _bounded(target.gradient(x, Objective("margin", goal), STEPS).score)


def _bounded(score: Tensor) -> Tensor:
    finite = score.isfinite()
    most = torch.where(finite, score.abs(), 0.0).amax().clamp(min=_MOST) if len(score) else _MOST
    return torch.where(finite, score, score.sign() * most)
