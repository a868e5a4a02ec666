"""The starts of an attack: class by class and restart by restart, each for what still stands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..decision import MATCHING_LOSSES, LossName, Objective
from ..target import Problem
from .best import Best
from .target_classes import likely_targets

SPARE = 10
"""Step numbers between two starts beyond their steps: for diversified starts and final questions."""


@dataclass(frozen=True)
class Start:
    """One start for the samples at positions `index` of the whole problem."""

    number: int
    problem: Problem
    index: Tensor
    objective: Objective
    step: int
    """The first step number of this start; no other start uses the numbers up to the next."""


class Repeated(Protocol):
    """The parameters of an attack that starts more than once."""

    @property
    def loss(self) -> LossName:
        """Of the objective."""
        ...

    @property
    def targets(self) -> int:
        """How many wrong classes to aim at; 0 is untargeted, as is a goal that names its class, and what matches."""
        ...

    @property
    def restarts(self) -> int:
        """Starts per target."""
        ...

    @property
    def steps(self) -> int:
        """Steps per start."""
        ...


def starts(problem: Problem, best: Best, config: Repeated) -> Iterator[Start]:
    """Every start in turn, for what `best` has not broken yet: all targets, likeliest first, then again per restart."""
    classes = None
    matching = config.loss in MATCHING_LOSSES
    if config.targets > 0 and problem.goal.targets is None and not matching:
        classes = likely_targets(problem, config.targets)
    rounds = 1 if classes is None else classes.shape[1]
    for number in range(rounds * config.restarts):
        index = (~best.broken).nonzero().squeeze(1)
        if len(index) == 0:
            return
        part = problem.select(index)
        toward = None if classes is None else classes[index, number % rounds]
        guide = part.guide(number) if matching else None
        objective = Objective(config.loss, part.goal, toward, guide=guide)
        yield Start(number, part, index, objective, number * (config.steps + SPARE))
