"""Honest gradients lead uphill in every norm and size; wrong ones do not, and get no credit from chance."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.errors import NoGradientError
from robcheck.harness.execution.ascent import measure
from robcheck.harness.geometry import NORMS
from robcheck.harness.gradients.ascent import Ascent
from robcheck.harness.target import Problem

Make = Callable[..., Problem]


def backward(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The identity with another backward pass."""

    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return change(gradient)

    return Changed.apply


def linear(features: int) -> Callable[[Tensor], Tensor]:
    weight = torch.randn(3, features, generator=torch.Generator().manual_seed(features))
    return lambda x: x.flatten(1) @ weight.T


def climbed(make: Make, model: Callable[[Tensor], Tensor], features: int = 12, **more: Any) -> Ascent:
    x = 0.3 + 0.4 * torch.rand(16, features, generator=torch.Generator().manual_seed(1))
    given = {"eps": 0.05, "norm": "linf", **more}
    labels_only = given.pop("labels_only", False)
    problem = make(model, x, model(x).argmax(dim=1), given.pop("eps"), given.pop("norm"), **given)
    return measure(problem, problem.target, labels_only=labels_only)


@pytest.mark.parametrize("features", [1, 2, 3, 12, 3000])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.2), ("l1", 0.3), ("l0", 1.0)])
def test_an_honest_gradient_leads_uphill(norm: str, eps: float, features: int, make_problem: Make) -> None:
    assert norm in NORMS
    found = climbed(make_problem, linear(features), features, norm=norm, eps=eps)
    assert found.leads_uphill
    assert found.ascended == found.samples == 16
    assert found.rise > found.random_rise
    assert (found.error, found.by_twin) == ("", 0)


@pytest.mark.parametrize("features", [2, 12, 3000])
@pytest.mark.parametrize(
    "change",
    [lambda g: -g, torch.zeros_like, lambda g: torch.randn_like(g), lambda g: g * float("nan")],
    ids=["wrong sign", "zero", "random", "nan"],
)
def test_a_wrong_gradient_does_not(change: Callable[[Tensor], Tensor], features: int, make_problem: Make) -> None:
    torch.manual_seed(0)
    hidden, model = backward(change), linear(features)
    found = climbed(make_problem, lambda x: model(hidden(x)), features)
    assert not found.leads_uphill
    assert found.ascended <= (8 if features > 2 else 12)


def test_walls_do_not_hide_a_slope(make_problem: Make) -> None:
    """Black and white pixels can move one way only."""
    model = linear(40)
    x = (torch.rand(16, 40, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    problem = make_problem(model, x, model(x).argmax(dim=1), 0.1, "linf")
    assert measure(problem, problem.target, labels_only=False).ascended == 16


def test_a_target_is_climbed_to(make_problem: Make) -> None:
    model = linear(12)
    x = torch.rand(16, 12, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(dim=1)
    problem = make_problem(model, x, y, 0.05, "linf", targets=(y + 1) % 3)
    assert measure(problem, problem.target, labels_only=False).ascended == 16


def test_scores_that_do_not_move_are_judged_by_the_twin(make_problem: Make) -> None:
    """Deployed: labels. Twin: the logits that they come from. The gradient of a constant stays where it is."""
    model = linear(12)

    class Labels(nn.Module):
        def __call__(self, x: Tensor) -> Tensor:
            logits = model(x)
            return logits if x.requires_grad else nn.functional.one_hot(logits.argmax(dim=1), 3).float()

    for labels_only in (True, False):
        found = climbed(make_problem, Labels(), eps=0.001, labels_only=labels_only)
        assert found.leads_uphill
        assert found.by_twin >= 12
    flat = climbed(make_problem, lambda x: 0 * model(x) + torch.tensor([1.0, 0.0, 0.0]))
    assert (flat.ascended, flat.rise) == (0, 0.0)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.3), ("l1", 1.0), ("l0", 1.0)])
@pytest.mark.parametrize("features", [2, 3, 5])
def test_few_features_and_a_wide_ball_raise_no_alarm(norm: str, eps: float, features: int, make_problem: Make) -> None:
    """Ten random directions hold the best corner then, and a bent model may stop a step short of it."""
    generator = torch.Generator().manual_seed(features)
    first, second = torch.randn(16, features, generator=generator), torch.randn(3, 16, generator=generator)
    bent = climbed(make_problem, lambda x: (x @ first.T).relu() @ second.T, features, norm=norm, eps=eps)
    assert bent.leads_uphill


def test_labels_are_judged_where_they_flip(make_problem: Make) -> None:
    """A gradient past the argmax works; a label that nothing flips says nothing about it."""
    model = linear(12)

    class Hard(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Tensor) -> Tensor:  # noqa: ARG004
            return 80 * nn.functional.one_hot(logits.argmax(dim=1), 3).float()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return gradient

    found = climbed(make_problem, lambda x: Hard.apply(model(x)), eps=0.35, labels_only=True)
    assert 4 <= found.samples < 16
    assert found.leads_uphill
    none = climbed(make_problem, lambda x: Hard.apply(model(x)), eps=1e-5, labels_only=True)
    assert (none.samples, none.ascended) == (16, 0)
    wrong = climbed(make_problem, lambda x: Hard.apply(model(backward(torch.neg)(x))), eps=0.35, labels_only=True)
    assert not wrong.leads_uphill


@pytest.mark.parametrize("size", [1e7, 1e-7])
def test_large_and_small_logits_climb_alike(size: float, make_problem: Make) -> None:
    model = linear(12)
    assert climbed(make_problem, lambda x: size * model(x)).ascended == 16


def test_a_gradient_that_fails_is_a_record(make_problem: Make) -> None:
    model = linear(12)

    def fails(x: Tensor) -> Tensor:
        if x.requires_grad:
            raise RuntimeError("no backward\nhere")
        return model(x)

    found = climbed(make_problem, fails)
    assert not found.leads_uphill
    assert found.error == "RuntimeError: no backward"
    cut = climbed(make_problem, lambda x: model(x.detach()))
    assert "no gradient" in cut.error
    assert not cut.leads_uphill


def test_an_interrupt_is_not_swallowed(make_problem: Make) -> None:
    model = linear(12)

    def stopped(x: Tensor) -> Tensor:
        if x.requires_grad:
            raise KeyboardInterrupt
        return model(x)

    with pytest.raises(KeyboardInterrupt):
        climbed(make_problem, stopped)


def test_no_path_to_the_input_is_said(make_problem: Make) -> None:
    from robcheck.harness.decision import Objective

    model = linear(12)
    x = torch.rand(4, 12)
    problem = make_problem(lambda points: model(points.detach()), x, model(x).argmax(dim=1), 0.05, "linf")
    with pytest.raises(NoGradientError, match="no gradient"):
        problem.target.gradient(x, Objective("margin", problem.goal), 0)
