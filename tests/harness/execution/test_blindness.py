"""Long steps: what rounds or thresholds agrees with its stand-in, and a gradient that lacks something does not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robcheck.harness.diagnosis.records import LongSteps
from robcheck.harness.execution.blindness import DIRECTIONS, SAMPLES, STEPS, long_steps
from robcheck.harness.target import Problem

Make = Callable[..., Problem]
Change = Callable[[Tensor], Tensor]
FEATURES = 48


def network() -> Change:
    generator = torch.Generator().manual_seed(0)
    first = 0.4 * torch.randn(32, FEATURES, generator=generator)
    second = 0.4 * torch.randn(4, 32, generator=generator)
    return lambda x: ((x - 0.5) @ first.T).tanh() @ second.T


def seen_as(forward: Change, backward: Change) -> Change:
    """One forward, and the gradient changed on its way back."""

    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return forward(x)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return backward(gradient)

    return Changed.apply


def mask(share: float) -> Change:
    kept = (torch.rand(FEATURES, generator=torch.Generator().manual_seed(1)) < share).float()
    return lambda gradient: gradient * kept


def flips(share: float) -> Change:
    kept = (torch.rand(FEATURES, generator=torch.Generator().manual_seed(1)) < share).float()
    return lambda gradient: gradient * (2 * kept - 1)


def stairs(levels: int) -> Change:
    return lambda x: (x * levels).round() / levels


def looked(make: Make, change: Change, features: int = FEATURES) -> tuple[LongSteps | None, Problem]:
    inner, x = network(), torch.rand(SAMPLES, features, generator=torch.Generator().manual_seed(2))
    problem = make(lambda points: inner(change(points)), x, torch.zeros(SAMPLES, dtype=torch.int64), 0.1)
    return long_steps(problem, problem.target), problem


@pytest.mark.parametrize("levels", [2, 4, 20, 255])
def test_stand_ins_for_rounding_agree(levels: int, make_problem: Make) -> None:
    found, _ = looked(make_problem, seen_as(stairs(levels), lambda gradient: gradient))
    assert found is not None
    assert found.agrees
    assert found.correlation > 0.5


@pytest.mark.parametrize("forward", [stairs(20), torch.clone], ids=["stairs", "smooth"])
@pytest.mark.parametrize("wrong", [mask(0.7), mask(0.4), mask(0.2), flips(0.5), torch.neg, torch.randn_like])
def test_a_gradient_that_lacks_something_does_not(wrong: Change, forward: Change, make_problem: Make) -> None:
    torch.manual_seed(0)
    found, _ = looked(make_problem, seen_as(forward, wrong))
    assert found is not None
    assert not found.agrees


def test_an_honest_gradient_costs_one_round(make_problem: Make) -> None:
    found, problem = looked(make_problem, lambda x: x)
    assert found is not None
    assert found.agrees
    assert problem.target.meter.totals().forward == SAMPLES * (2 + 4 * DIRECTIONS)
    assert problem.target.meter.totals().backward == SAMPLES
    _, wrong = looked(make_problem, seen_as(torch.clone, torch.neg))
    assert wrong.target.meter.totals().forward == SAMPLES * (2 + 4 * DIRECTIONS * len(STEPS))


def test_few_features_tell_nothing(make_problem: Make) -> None:
    x = torch.rand(4, 8)
    problem = make_problem(lambda points: points[:, :3], x, torch.zeros(4, dtype=torch.int64), 0.1)
    assert long_steps(problem, problem.target) is None
