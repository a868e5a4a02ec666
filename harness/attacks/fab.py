"""Fast adaptive boundary attack: towards the linearised boundary and towards the sample, class by class.

Source: Croce and Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary attack", sections 2
and 3; the targeted form, one backward pass per step, as in Croce and Hein 2020 (AutoAttack), section 5.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import Objective
from ..geometry import norms, per_sample
from ..target import Answer, Problem
from .best import Best
from .dead_gradient import usable
from .hyperplane import close_gap
from .spec import AttackConfig
from .target_classes import likely_targets

_LEAST_KEPT = 0.5
"""The least share of its perturbation that a broken point keeps in one step, however near the boundary is expected."""


class FAB(AttackConfig):
    """Steps onto the linearised decision boundary, biased towards the sample; no step size, no radius."""

    attack: Literal["fab"] = "fab"
    steps: int = Field(100, ge=1, description="gradient steps per class and restart")
    targets: int = Field(9, ge=1, description="aim at this many wrong classes in turn, likeliest first")
    restarts: int = Field(1, ge=1, description="starts per class; the first is the sample, later ones are random")
    alpha_max: float = Field(0.1, ge=0, le=1, description="largest share of the way that starts from the sample")
    eta: float = Field(1.05, ge=1, description="overshoot beyond the linearised boundary")
    beta: float = Field(0.9, gt=0, lt=1, description="share of its perturbation that a broken point keeps")
    stop_at_eps: bool = Field(True, description="a sample ends with its first break inside eps")


class _Closest(Best):
    """The closest break seen so far, for every sample; `broken` says whether it lies inside the ball."""

    def __init__(self, problem: Problem, *, stop_at_eps: bool) -> None:
        super().__init__(problem)
        self.ball = problem.ball
        self.distance = torch.full((len(problem.x),), float("inf"), dtype=torch.float64, device=problem.x.device)
        self.stop_at_eps = stop_at_eps

    @property
    def done(self) -> Tensor:
        """Which samples need no further question, (N,)."""
        return self.broken if self.stop_at_eps else self.distance == 0

    def see(self, index: Tensor, x: Tensor, score: Tensor, broken: Tensor) -> None:
        """Take in points x (M, ...) for the samples at positions `index` (M,)."""
        index, x, score = index[broken], x[broken], score[broken]
        distance = self.ball.select(index).distances(x)
        closer = distance < self.distance[index]
        index, x = index[closer], x[closer]
        self.x[index], self.score[index], self.distance[index] = x, score[closer], distance[closer]
        self.broken[index] = self.ball.select(index).contains(x)


def fab(problem: Problem, config: FAB) -> Tensor:
    """Proposals (N, ...): the closest break of each sample where it lies inside eps, the sample itself elsewhere.

    Raises:
        ValueError: the ball's norm is neither Linf, L2 nor L1.
    """
    closest = _search(problem, config, stop_at_eps=config.stop_at_eps)
    return torch.where(per_sample(closest.broken, problem.x), closest.x, problem.x)


def closest_fab(problem: Problem, config: FAB) -> tuple[Tensor, Tensor]:
    """The closest break found for each sample (N, ...) and its distance (N,), inf where none was found.

    Every step is taken, whatever eps is; it bounds nothing but how far from the sample a restart begins.

    Raises:
        ValueError: the ball's norm is neither Linf, L2 nor L1.
    """
    closest = _search(problem, config, stop_at_eps=False)
    return closest.x, closest.distance


def _search(problem: Problem, config: FAB, *, stop_at_eps: bool) -> _Closest:
    closest = _Closest(problem, stop_at_eps=stop_at_eps)
    if len(problem.x) == 0:
        return closest
    classes = None if problem.goal.targets is not None else likely_targets(problem, config.targets)
    rounds = 1 if classes is None else classes.shape[1]
    at_sample = torch.full((rounds, len(problem.x)), float("nan"), device=problem.x.device)
    for number in range(rounds * config.restarts):
        index = (~closest.done).nonzero().squeeze(1)
        if len(index) == 0:
            break
        part = problem.select(index)
        toward = None if classes is None else classes[index, number % rounds]
        first = number * (config.steps + 10)
        start = part.x if number < rounds else _random_start(part, closest.distance[index], first)
        objective = Objective("margin", part.goal, toward)
        _approach(part, objective, config, closest, index, start, at_sample[number % rounds], first + 2)
    return closest


def _random_start(problem: Problem, distance: Tensor, step: int) -> Tensor:
    radius = torch.minimum(distance.to(problem.ball.eps.dtype), problem.ball.eps) / 2
    return problem.ball.with_eps(radius).random_start(problem.stream, step)


def _approach(
    problem: Problem,
    objective: Objective,
    config: FAB,
    closest: _Closest,
    index: Tensor,
    x: Tensor,
    at_sample: Tensor,
    first: int,
) -> None:
    """One start towards one class; `at_sample` (all samples,) takes the losses of a start at the sample itself."""
    from_sample = x is problem.x
    for k in range(config.steps):
        answer = problem.target.gradient(x, objective, first + k)
        closest.answer(index, x, answer, first + k)
        if k == 0 and from_sample:
            at_sample[index] = answer.loss
        x = _step(problem, config, x, answer, at_sample[index], first + k)
        keep = (~closest.done[index]).nonzero().squeeze(1)
        if len(keep) < len(index):
            problem, objective, index, x = problem.select(keep), objective.select(keep), index[keep], x[keep]
            if len(keep) == 0:
                return
    closest.settle(index, x, first + config.steps)


def _step(problem: Problem, config: FAB, x: Tensor, answer: Answer, at_sample: Tensor, step: int) -> Tensor:
    """The next points (N, ...), from one answer about x.

    Deviations from the paper, which pulls a broken point back by beta and asks again before it steps. Here the plane at
    the broken point serves the point pulled back, so that every question makes a step; and where the loss, taken as
    linear from the sample to the broken point, vanishes nearer than beta, the next point lies there, at half the
    perturbation at least. Both together reach with 60 questions about what the paper's order reaches with 100 (Linf,
    L2 and L1 on a robust MNIST model); the paper's final search towards the sample then gains nothing and is left out.
    """
    ball, start = problem.ball, problem.x
    normal, loss = usable(answer.gradient, problem, step), _signed_loss(answer)
    crossing = at_sample / (at_sample - loss)
    early = answer.broken & (crossing > 0) & (crossing < config.beta)
    kept = torch.where(early, crossing.clamp(min=_LEAST_KEPT), torch.full_like(crossing, config.beta))
    near = torch.where(per_sample(answer.broken, x), start + per_sample(kept, x) * (x - start), x)
    onward, home = (
        close_gap(p, normal, _gap(loss, normal, p - x), ball.lower, ball.upper, ball.norm) for p in (near, start)
    )
    size, reach = norms(onward, ball.norm), norms(home, ball.norm)
    share = per_sample((size / (size + reach).clamp(min=1e-12)).clamp(max=config.alpha_max), x)
    ahead = (1 - share) * (near + config.eta * onward) + share * (start + config.eta * home)
    return ball.clip(torch.where(per_sample(early, x), near, ahead))


def _signed_loss(answer: Answer) -> Tensor:
    """The loss (N,), below 0 wherever the boundary is still to be crossed, also where nothing can be measured."""
    loss = torch.where(answer.loss.isfinite(), answer.loss, -torch.ones_like(answer.loss))
    # Past the linearised boundary and yet no break (on every draw, beyond the twin's error): as far again.
    return torch.where(answer.broken, loss, -loss.abs())


def _gap(loss: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    """The loss, taken as linear, at an offset (N, ...) from the point of the answer, float64, (N,)."""
    return loss.to(torch.float64) + (normal * offset).flatten(1).sum(dim=1, dtype=torch.float64)
