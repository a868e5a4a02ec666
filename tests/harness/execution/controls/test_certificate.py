"""The certificate of a run: exact where bounds are, silent where there are none, loud where it is contradicted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.adapters.embedded.train import to_onnx
from robcheck.adapters.pytorch.module import wrap_module
from robcheck.adapters.reference import certified
from robcheck.adapters.reference.proven import RADIUS
from robcheck.harness.certificate import bounded, margins
from robcheck.harness.defenses.bit_depth import BitDepth
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import Result
from robcheck.harness.threat import Ball
from robcheck.harness.training.recipes import small_cnn
from robcheck.harness.training.seeding import seeded
from robcheck.suites import Suite

PGD = {"attack": "pgd", "steps": 10, "loss": "margin"}


def run(model: Any, x: Tensor, y: Tensor, **more: Any) -> Result:
    suite = Suite.model_validate({"name": "tiny", "attacks": [more.pop("attack", PGD)]})
    return robcheck.evaluate(model, x, y, **{"suite": suite, "device": "cpu", **more})


def control(result: Result) -> Any:
    return next(c for c in result.controls if c.name == "certificate")


def codes(result: Result) -> set[str]:
    return {finding.code for finding in result.findings}


@pytest.fixture
def samples(linear: nn.Module) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(50, 12, generator=torch.Generator().manual_seed(1))
    return x, linear(x).argmax(dim=1)


@pytest.mark.parametrize("norm", ["linf", *(pytest.param(n, marks=pytest.mark.slow) for n in ("l2", "l1"))])
def test_of_a_linear_model_it_is_the_truth(linear: Any, samples: tuple[Tensor, Tensor], norm: str) -> None:
    x, y = samples
    eps = float(linear.closest(x, y, "linf").median())
    result = run(linear, x, y, epsilon=eps, norm=norm)
    assert result.certified is not None
    assert result.certified.samples == 50
    robust = (linear.closest(x, y, "linf") > eps).double().mean()
    # Samples within rounding of the radius are left unproven; no two others are that close.
    assert result.certified.accuracy == pytest.approx(float(robust), abs=0.02)
    assert result.certified.accuracy <= result.robust_accuracy
    assert result.certified.contradicted == 0
    assert "UNSOUND" not in codes(result)
    if norm == "linf":
        assert result.robust_accuracy == pytest.approx(float(robust), abs=0.04)


def test_targets_are_bounded_one_by_one(linear: Any, samples: tuple[Tensor, Tensor]) -> None:
    x, y = samples
    target = (y + 1) % 3
    weight, bias = linear.weight, linear.bias
    apart = weight[y] - weight[target]
    lead = (apart * x).sum(dim=1) + bias[y] - bias[target]
    away = lead / apart.abs().sum(dim=1)
    eps = float(away.median())
    result = run(linear, x, y, epsilon=eps, targets=target)
    assert result.certified is not None
    assert result.certified.accuracy == pytest.approx(float((away > eps).double().mean()), abs=0.02)
    assert "UNSOUND" not in codes(result)


def test_a_replay_on_another_model_is_unsound(linear: Any, samples: tuple[Tensor, Tensor]) -> None:
    """The deployed forward breaks inside of the ball where the twin, which is bounded, does not."""
    x, y = samples
    eps = float(linear.closest(x, y, "linf").median())

    class Lying:
        info = ModelInfo(name="lying", format="torch", twin=Twin(available=True))

        def logits(self, points: Tensor) -> Tensor:
            away = torch.cdist(points, x, p=float("inf")).amin(dim=1)
            return torch.where(((away > 0) & (away < 1.01 * eps))[:, None], -linear(points), linear(points))

        def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor]:  # noqa: ARG002
            return linear

    result = run(Lying(), x, y, epsilon=eps)
    assert result.certified is not None
    assert result.certified.contradicted > 10
    finding = next(f for f in result.findings if f.code == "UNSOUND")
    assert finding.severity == "severe"
    assert finding.measured is not None
    assert finding.measured > 10


def test_a_ball_that_lets_everything_pass_is_unsound(
    linear: Any, samples: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = samples
    eps = float(linear.closest(x, y, "linf").median())
    assert "UNSOUND" not in codes(run(linear, x, y, epsilon=eps))
    monkeypatch.setattr(Ball, "contains", lambda _, points: torch.ones(len(points), dtype=torch.bool))
    monkeypatch.setattr(Ball, "project", lambda ball, points: points.clamp(ball.lower, ball.upper))
    result = run(linear, x, y, epsilon=eps, attack={**PGD, "step_size": 0.5})
    assert "UNSOUND" in codes(result)
    assert result.verdict != "PASS"


@pytest.mark.parametrize(
    ("change", "more", "reason"),
    [
        (lambda m: m, {"norm": "l0", "epsilon": 1}, "L0"),
        pytest.param(lambda m: m, {"defenses": [BitDepth()]}, "stages", marks=pytest.mark.slow),
        pytest.param(lambda m: lambda x: m(x) + torch.rand(len(x), 1), {}, "random", marks=pytest.mark.slow),
        (lambda m: lambda x: m(x.round()), {}, "round"),
    ],
)
def test_where_there_are_no_bounds_it_is_skipped(
    linear: Any, samples: tuple[Tensor, Tensor], change: Any, more: dict[str, Any], reason: str
) -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return change(linear)(x.flatten(1))

    x, y = samples
    if "defenses" in more:
        x = x.reshape(-1, 1, 3, 4)
    result = run(Model(), x, y, **{"epsilon": 0.05, **more})
    assert result.certified is None
    assert control(result).status == "skipped"
    assert reason in control(result).reason


def test_bounds_of_something_else_prove_nothing(linear: Any, samples: tuple[Tensor, Tensor]) -> None:
    """A forward that knows that it is looked at: its points are not what the model answers."""

    class Knowing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = linear(x)
            return logits if type(logits) is Tensor else logits + torch.tensor([1.0, 0.0, 0.0])

    result = run(Knowing(), *samples, epsilon=0.01)
    assert control(result).status == "skipped"
    assert "single points" in control(result).reason


@pytest.mark.slow
def test_both_forms_of_a_network_have_the_same_bounds(tmp_path: Any) -> None:
    with seeded(3):
        network, x = small_cnn(1, 8, 10, width=4).eval(), torch.rand(12, 1, 8, 8)
    onnx.save(to_onnx(network, x[:1], "small"), str(tmp_path / "small.onnx"))
    forms = [
        wrap_module(network, mean=(0.3,), std=(0.5,)),
        robcheck.load_model(str(tmp_path / "small.onnx"), mean=(0.3,), std=(0.5,)),
    ]
    y = forms[0].logits(x).argmax(dim=1)
    found = [margins(bounded(form.differentiable(), x - 0.003, x + 0.003), y) for form in forms]
    assert torch.allclose(*found, rtol=1e-6, atol=1e-9)
    results = [run(form, x, y, epsilon=0.003) for form in forms]
    shares = [r.certified.accuracy for r in results if r.certified]
    assert len(shares) == 2
    assert shares[0] == shares[1] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_certified_product_is_never_broken_where_it_is_proven(seed: int) -> None:
    x, y = (array[:150] for array in robcheck.adapters.data.digits.digits("test"))
    product = certified(seed)
    result = robcheck.evaluate(product, np.asarray(x), np.asarray(y), epsilon=RADIUS, suite="standard", device="cpu")
    assert result.certified is not None
    assert result.certified.accuracy > 0.6
    assert result.certified.accuracy <= result.robust_accuracy <= result.clean_accuracy
    assert result.certified.contradicted == 0
    assert not {f.code for f in result.findings if f.severity == "severe"}
