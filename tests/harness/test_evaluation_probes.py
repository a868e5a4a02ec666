"""Gradients that are wrong in part, for some samples, or only when they are wanted: found, whatever else is there."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.results import Result

MASK = (torch.rand(40, generator=torch.Generator().manual_seed(0)) < 0.4).float()


class Forgetful(torch.autograd.Function):
    """The identity; 60 % of the features have no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient * MASK.to(gradient.dtype)


class Stairs(torch.autograd.Function):
    """Rounds, with the identity on the way back, as in a network that was trained quantised."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return (x * 20).round() / 20

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


def network() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(40, 64), nn.Tanh(), nn.Linear(64, 3))
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data = 0.4 * torch.randn(weight.shape, generator=generator)
    return model.requires_grad_(False).eval()


class Wrapped(nn.Module):
    def __init__(self, change: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change = network(), change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.inner, x)


def run(change: Callable[[nn.Module, Tensor], Tensor], **more: Any) -> Result:
    x = more.pop("x", 0.1 + 0.8 * torch.rand(60, 40, generator=torch.Generator().manual_seed(1)))
    y = network()(x).argmax(dim=1)
    given = {"suite": "quick", "epsilon": 0.01, "min_robust_accuracy": 0.1, "gate_on": "point", "device": "cpu", **more}
    return robcheck.evaluate(Wrapped(change).eval(), x, y, **given)


def severe(result: Result) -> set[str]:
    return {finding.code for finding in result.findings if finding.severity == "severe"}


def harmless(inner: nn.Module, x: Tensor) -> Tensor:
    return inner(torch.where(x < -1, torch.zeros_like(x), x))


def looked(inner: nn.Module, x: Tensor) -> Tensor:
    if bool((x > 50).any()):
        raise ValueError
    return inner(x)


BESIDE: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "alone": lambda m, x: m(x),
    "comparison": looked,
    "where": harmless,
    "argmax": lambda m, x: m(x) + 0 * m(x).argmax(dim=1, keepdim=True),
    "float": lambda m, x: m(x.float()),
    "float out": lambda m, x: m(x).float(),
    "draw": lambda m, x: m(x) + 0 * torch.rand(1),
    "noise": lambda m, x: m(x) + 0.01 * torch.randn(len(x), 3),
    "rounded": lambda m, x: m((x * 20).round() / 20),
    "stairs": lambda m, x: m(Stairs.apply(x)),
}


QUICK = ("alone", "where", "rounded")


@pytest.mark.parametrize("beside", [b if b in QUICK else pytest.param(b, marks=pytest.mark.slow) for b in BESIDE])
def test_a_backward_pass_that_forgets_features_is_found_beside_anything(beside: str) -> None:
    change = BESIDE[beside]

    def forgets(inner: nn.Module, x: Tensor) -> Tensor:
        if beside in ("rounded", "stairs"):
            return change(lambda points: inner(Forgetful.apply(points)), x)  # type: ignore[arg-type]
        return change(inner, Forgetful.apply(x))

    bad = run(forgets)
    assert "WRONG_GRADIENT" in severe(bad)
    assert bad.verdict != "PASS"
    good = run(change)
    assert severe(good) == set()
    assert good.verdict == "PASS"


@pytest.mark.slow
def test_the_order_of_the_samples_hides_nothing() -> None:
    """Saturated for every class but one, and that one comes first."""

    def saturated(inner: nn.Module, x: Tensor) -> Tensor:
        logits = inner(x)
        other = (logits[:, 1:].amax(dim=1) > logits[:, 0]).float()[:, None]
        return (logits * (1 + 1e4 * other)).softmax(dim=1)

    x = 0.1 + 0.8 * torch.rand(500, 40, generator=torch.Generator().manual_seed(1))
    y = network()(x).argmax(dim=1)
    first, others = x[y == 0][:32], x[y != 0]
    assert len(first) == 32
    for points in (torch.cat([first, others]), torch.cat([others, first])):
        assert {"ZERO_GRADIENT", "NOT_ASCENDING"} <= severe(run(saturated, x=points))


@pytest.mark.parametrize("noise", [pytest.param(0.0, marks=pytest.mark.slow), 0.01])
def test_a_model_that_knows_when_gradients_are_wanted(noise: float) -> None:
    def sly(inner: nn.Module, x: Tensor) -> Tensor:
        logits = inner(0.5 * x if x.requires_grad else x)
        return logits + noise * torch.randn(len(x), 3) if noise else logits

    result = run(sly)
    assert "TWIN_PARITY" in severe(result)
    assert result.verdict != "PASS"


def test_what_is_asked_does_not_depend_on_the_batch_size() -> None:
    found = [run(BESIDE["rounded"], batch_size=size).contract for size in (7, 60)]
    assert found[0] == found[1]


def test_the_contract_is_cheap() -> None:
    """Beyond the crowd of one batch, per probed sample and on at most 32 of them."""
    x = 0.1 + 0.8 * torch.rand(100, 40, generator=torch.Generator().manual_seed(1))
    result = run(BESIDE["rounded"], x=x, epsilon=0.0, batch_size=32, controls="none")
    passes = result.passes.phases["controls"]
    assert passes.forward <= 32 * 20
    moving = run(BESIDE["rounded"], x=x, batch_size=32, controls="none")
    assert moving.passes.phases["controls"].forward <= 32 * 100
    assert moving.passes.phases["controls"].backward <= 32 * 50
