"""`inspect` on models that keep the contract, and on models that break one part of it each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.errors import DataError, ModelError, UsageError
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import Inspection


def samples(model: nn.Module, n: int = 64) -> tuple[Tensor, Tensor]:
    x = 0.3 + 0.4 * torch.rand(n, 12, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


class Module(nn.Module):
    """The inner model with something done to it."""

    def __init__(self, inner: nn.Module, change: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.inner, x)


class Two:
    """A deployed model and a twin that is said to be the same."""

    def __init__(self, deployed: Callable[[Tensor], Tensor], twin: Callable[[Tensor], Tensor]) -> None:
        self.deployed, self.twin = deployed, twin
        self.info = ModelInfo(name="two", format="onnx", input_shape=(12,), twin=Twin(available=True))

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.deployed(x)

    def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor]:  # noqa: ARG002
        return self.twin


def tampered(factor: float) -> Callable[[Tensor], Tensor]:
    class Tampered(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return factor * gradient

    return Tampered.apply


def wrong(found: Inspection) -> dict[str, str]:
    return {f.code: f.severity for f in found.contract if f.severity in ("warning", "severe")}


def test_a_linear_model_keeps_the_contract(linear: nn.Module) -> None:
    x, y = samples(linear)
    found = robcheck.inspect(linear, x, y, expect_accuracy=1.0, device="cpu")
    assert [f.severity for f in found.contract] == ["ok"] * 8
    assert found.sound
    assert (found.samples, found.labelled, found.clean_accuracy, found.proposal) == (64, True, 1.0, "")
    assert Inspection.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("name", ["digits-cnn", "digits-cnn-pgd"])
@pytest.mark.parametrize("labelled", [True, False])
def test_the_embedded_networks_keep_the_contract(name: str, labelled: bool) -> None:
    model = robcheck.load_model(f"embedded:{name}")
    data = robcheck.load_data("digits", samples=64)
    given = (data.x, data.y) if labelled else ()
    found = robcheck.inspect(model, *given, expect_accuracy=0.97, device="cpu")
    assert found.sound
    assert wrong(found) == {}
    assert {f.code for f in found.contract if f.severity == "info"} == (set() if labelled else {"ACCURACY"})
    assert found.model.twin.samples == 32


def test_a_twin_that_lies(linear: nn.Module) -> None:
    x, y = samples(linear)
    liar = Two(linear, lambda points: linear(points.flip(1)))
    found = robcheck.inspect(liar, x, y, device="cpu")
    assert {"TWIN_PARITY", "NOT_ASCENDING"} <= set(wrong(found))
    assert not found.sound


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda m, x: m(tampered(-1.0)(x)), {"WRONG_GRADIENT", "NOT_ASCENDING"}),
        (lambda m, x: m(tampered(1.5)(x)), {"WRONG_GRADIENT"}),
        (lambda m, x: m(tampered(0.0)(x)), {"ZERO_GRADIENT", "NOT_ASCENDING"}),
        (lambda m, x: m(x) - m(x).mean(dim=0), {"BATCH_DEPENDENT", "WRONG_GRADIENT"}),
        (lambda m, x: m(x) + torch.where(x[:, :1] < 0.35, float("nan"), 0.0), {"NAN_OUTPUT"}),
    ],
    ids=["wrong sign", "wrong size", "zero", "batch", "nan"],
)
def test_what_breaks_the_contract_is_named(
    change: Callable[[nn.Module, Tensor], Tensor], codes: set[str], linear: nn.Module
) -> None:
    x, y = samples(linear)
    found = robcheck.inspect(Module(linear, change), x, y, device="cpu")
    assert {code for code, severity in wrong(found).items() if severity == "severe"} == codes
    assert not found.sound


def test_a_gradient_that_is_noise(linear: nn.Module) -> None:
    class Noise(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return torch.randn_like(gradient)

    x, y = samples(linear)
    found = robcheck.inspect(Two(linear, lambda points: linear(Noise.apply(points))), x, y, device="cpu")
    assert wrong(found) == {"NOT_ASCENDING": "severe", "WRONG_GRADIENT": "severe"}


def test_a_random_model_is_judged_in_the_mean(linear: nn.Module) -> None:
    x, y = samples(linear)
    noisy = Module(linear, lambda m, points: m(points) + 0.2 * torch.randn(len(points), 3))
    found = robcheck.inspect(noisy, x, y, device="cpu")
    assert wrong(found) == {"NONDETERMINISTIC": "warning"}
    assert found.sound


def test_accuracy_below_what_was_promised(linear: nn.Module) -> None:
    x, y = samples(linear)
    other = torch.where(torch.arange(64) < 24, (y + 1) % 3, y)
    assert wrong(robcheck.inspect(linear, x, other, expect_accuracy=0.95, device="cpu")) == {
        "ACCURACY_TOO_LOW": "severe"
    }
    suite = robcheck.evaluate(
        linear, x, other, suite="quick", epsilon=1e-4, min_robust_accuracy=0.2, expect_accuracy=0.95, device="cpu"
    )
    assert suite.verdict == "INCONCLUSIVE"
    assert any(line.startswith("ACCURACY_TOO_LOW") for line in suite.against_pass)
    assert {f.code for f in suite.contract} >= {"ACCURACY_TOO_LOW", "PARITY", "ASCENT"}
    fine = robcheck.evaluate(
        linear, x, other, suite="quick", epsilon=1e-4, min_robust_accuracy=0.2, expect_accuracy=0.63, device="cpu"
    )
    assert fine.verdict == "PASS"


def test_without_a_right_answer_nothing_climbs(linear: nn.Module) -> None:
    x, y = samples(linear)
    found = robcheck.inspect(linear, x, (y + 1) % 3, device="cpu")
    (ascent,) = [f for f in found.contract if f.code == "ASCENT"]
    assert ascent.severity == "info"


def test_the_same_seed_the_same_samples(linear: nn.Module) -> None:
    model = Two(linear, linear)
    answers = [robcheck.inspect(model, seed=seed, samples=20, device="cpu").contract for seed in (0, 0, 1)]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"x": None}, UsageError),
        ({"epsilon": -1.0}, UsageError),
        ({"expect_accuracy": 97.0}, UsageError),
        ({"norm": "l7"}, UsageError),
        ({"x": torch.full((4, 12), 7.0)}, DataError),
        ({"y": torch.zeros(3)}, DataError),
        ({"x": torch.rand(4, 5), "y": torch.zeros(4)}, ModelError),
    ],
)
def test_what_makes_no_sense_is_an_error(given: dict[str, Any], error: type[Exception], linear: nn.Module) -> None:
    x, y = samples(linear, 4)
    arguments = {"x": x, "y": y, "device": "cpu", **given}
    if arguments["x"] is None:
        arguments["y"] = None
    with pytest.raises(error):
        robcheck.inspect(linear, **arguments)
