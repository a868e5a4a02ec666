"""Search through a stage that puts every input on the range of a generator.

Only images G(z) are ever classified behind such a stage, and z is the code whose image is closest to the input. So the
steps on the input follow the derivative of that choice: the classifier's gradient at G(z), projected on the tangent of
the range, because whatever is orthogonal to it changes no code. The code is kept up by Gauss-Newton steps between the
stage's own searches, and the whole target is asked every few steps. The first start is the sample, the second the
image of a code that was searched for directly, wrong and close to the ball; others are random.

Source: Athalye, Carlini and Wagner 2018, section 4.3 (reparameterisation) and 5.4.1 (Defense-GAN). Deviation: they
optimise the code alone, and its image has to come close enough to the sample by itself.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..decision import Objective
from ..geometry import per_sample, steepest
from ..target import Generator, Problem
from .best import ASKING, CONFIRMING, Best
from .codes import descended, followed, tangential
from .dead_gradient import usable
from .spec import AttackConfig

_SPARSITY = 0.05


class Latent(AttackConfig):
    """Gradient steps along the range of a generator, judged by the whole target."""

    attack: Literal["latent"] = "latent"
    loss: Literal["ce", "margin", "dlr"] = Field("margin", description="what is climbed")
    steps: int = Field(50, ge=1, description="gradient steps per start")
    restarts: int = Field(3, ge=1, description="starts, each for what still stands")
    every: int = Field(5, ge=1, description="steps between two questions to the whole target")

    @property
    def most_passes(self) -> int:
        """Gradients behind the stage, and questions to the whole of a random target."""
        asked = self.steps // self.every + 2
        return self.restarts * (2 * self.steps + (ASKING + CONFIRMING) * asked) + 2 * self.steps + 100


@dataclass
class _Climb:
    """Points x (N, ...) and their codes z (N, D), for the samples at positions `index`."""

    problem: Problem
    generator: Generator
    objective: Objective
    index: Tensor
    x: Tensor
    z: Tensor

    def select(self, keep: Tensor) -> "_Climb":
        """The same for some of the samples."""
        problem = self.problem.select(keep)
        objective = self.objective.select(keep)
        return _Climb(problem, problem.target.generator(), objective, self.index[keep], self.x[keep], self.z[keep])


def latent(problem: Problem, config: Latent) -> Tensor:
    """Proposals (N, ...), the best by the answers of the whole target.

    Raises:
        NoGradientError: no stage declares a generator, or what lies behind it has no gradient.
    """
    best = Best(problem)
    problem.target.generator()
    for number in range(config.restarts):
        index = (~best.broken).nonzero().squeeze(1)
        if len(index) == 0:
            break
        first = number * 3 * (config.steps + 1)
        climb = _begin(problem.select(index), index, config, number, first)
        _climb(climb, config, best, first + config.steps + 1)
    return best.proposals()


def _begin(problem: Problem, index: Tensor, config: Latent, number: int, step: int) -> _Climb:
    generator, objective = problem.target.generator(), Objective(config.loss, problem.goal)
    if number == 1:
        z = descended(problem, objective, config.steps, step)
        with torch.no_grad():
            x = problem.ball.project(generator.images(z))
    else:
        x = problem.x if number == 0 else problem.ball.random_start(problem.stream, step)
        z = generator.codes(x, step)
    return _Climb(problem, generator, objective, index, x, z)


def _climb(climb: _Climb, config: Latent, best: Best, first: int) -> None:
    for k in range(config.steps):
        if k > 0 and k % config.every == 0:
            best.ask(climb.index, climb.x, first + k)
            keep = (~best.broken[climb.index]).nonzero().squeeze(1)
            if len(keep) == 0:
                return
            climb = climb if len(keep) == len(climb.index) else climb.select(keep)
            climb.z = climb.generator.codes(climb.x, first + k)
        _step(climb, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * k / config.steps)), first + k)
    best.ask(climb.index, climb.x, first + config.steps)


def _step(climb: _Climb, share: float, step: int) -> None:
    """Move the points by a share of the radius along the range, and the codes after them."""
    problem, generator, x = climb.problem, climb.generator, climb.x
    with torch.no_grad():
        images = generator.images(climb.z)
    slope = generator.behind.gradient(images, climb.objective, step).gradient
    direction = usable(tangential(generator, climb.z, slope), problem, step)
    sparsity = torch.full_like(problem.ball.eps, _SPARSITY * x[0].numel())
    length = share * per_sample(problem.ball.reach, x)
    climb.x = problem.ball.project(x + length * steepest(direction, problem.ball.norm, sparsity))
    climb.z = followed(generator, climb.z, climb.x)
