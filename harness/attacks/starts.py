"""The starts of an attack: class by class and restart by restart, each for what still stands."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..decision import LossName, Objective
from ..target import Problem
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


def starts(
    problem: Problem, standing: Callable[[], Tensor], loss: LossName, *, targets: int, restarts: int, steps: int
) -> Iterator[Start]:
    """Every start in turn: all targets, likeliest first, then all again for each restart.

    Args:
        problem: of N samples.
        standing: which samples are still to be attacked, (N,), asked before each start.
        loss: of the objective.
        targets: how many wrong classes to aim at; 0 is untargeted, as is a goal that names its own class.
        restarts: starts per target.
        steps: steps per start.
    """
    classes = None
    if targets > 0 and problem.goal.targets is None:
        classes = likely_targets(problem, targets)
    rounds = 1 if classes is None else classes.shape[1]
    for number in range(rounds * restarts):
        index = standing().nonzero().squeeze(1)
        if len(index) == 0:
            return
        part = problem.select(index)
        toward = None if classes is None else classes[index, number % rounds]
        yield Start(number, part, index, Objective(loss, part.goal, toward), number * (steps + SPARE))
