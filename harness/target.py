"""What an attack sees of the model: answers, never the estimator behind them."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .decision import Decision, Goal, Objective
from .randomness import Stream
from .threat import Ball


@dataclass(frozen=True)
class Answer:
    """One gradient question: all per sample, the gradient (N, ...) with respect to the attacked point."""

    loss: Tensor
    gradient: Tensor
    score: Tensor
    """Mean over the draws of how far beyond the boundary the point is, in logits; above 0 is a break."""
    broken: Tensor
    """Broken on every draw, by more than twin and deployed model may differ."""


class Generator(Protocol):
    """The stage of a target that puts every input on the range of a generator, for N samples."""

    @property
    def behind(self) -> "Target":
        """The target from that stage on: what it answers to points that are on the range already."""
        ...

    def codes(self, x: Tensor, step: int) -> Tensor:
        """What the stage makes of points x (N, ...): codes (N, D), no gradient; `step` keys the draws."""
        ...

    def images(self, z: Tensor) -> Tensor:
        """The points (N, ...) of codes z (N, D), differentiable."""
        ...


class Target(Protocol):
    """N samples of a model under attack. Every method counts its passes for the samples asked about."""

    @property
    def classes(self) -> int:
        """K."""
        ...

    @property
    def random(self) -> bool:
        """Whether two equal questions may be answered differently."""
        ...

    @property
    def device(self) -> str:
        """Where points have to lie."""
        ...

    def select(self, index: Tensor) -> "Target":
        """The same target for the samples at `index`; an index may occur more than once."""
        ...

    def gradient(self, x: Tensor, objective: Objective, step: int) -> Answer:
        """Loss and gradient at x (N, ...); `step` keys the draws of a random target.

        Raises:
            NoGradientError: the target has no gradient of the planned kind.
        """
        ...

    def decide(self, x: Tensor, step: int) -> Decision:
        """The deployed answer at x (N, ...), scores included."""
        ...

    def generator(self) -> Generator:
        """The stage that a latent search goes through.

        Raises:
            NoGradientError: no stage declares a generator.
        """
        ...


@dataclass(frozen=True)
class Problem:
    """What an attack is asked: N samples, their allowed points, their goal, the target, their random streams.

    An attack returns proposals (N, ...): the best point found for each sample, inside its ball.
    """

    x: Tensor
    goal: Goal
    ball: Ball
    target: Target
    stream: Stream
    guides: Tensor | None = None
    """For losses that match: what the model says of G others, (N, G, F), nearest first; NaN where there are fewer."""

    def select(self, index: Tensor) -> "Problem":
        """The problem of the samples at `index`."""
        return Problem(
            self.x[index],
            self.goal.select(index),
            self.ball.select(index),
            self.target.select(index),
            self.stream.select(index),
            None if self.guides is None else self.guides[index],
        )

    def guide(self, number: int) -> Tensor | None:
        """The guides (N, F) of start `number`, each sample's own in turn; NaN for a sample that has none."""
        if self.guides is None:
            return None
        known = (~self.guides.isnan().any(dim=2)).sum(dim=1).clamp(min=1)
        return self.guides[torch.arange(len(known), device=known.device), number % known]
