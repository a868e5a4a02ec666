"""Models that would look robust to a careless eye: none of them may PASS."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import Result
from robcheck.suites import Suite

PGD = {"attack": "pgd", "steps": 12, "loss": "margin"}
APGD = {"attack": "apgd", "steps": 15, "loss": "ce"}
SQUARE = {"attack": "square", "queries": 200}
SURROGATE = {"attack": "transfer", "source": "surrogate", "steps": 5}


def run(model: Any, x: Tensor, y: Tensor, *attacks: dict[str, Any], **more: Any) -> Result:
    suite = Suite.model_validate({"name": "tiny", "attacks": list(attacks) or [PGD, APGD]})
    return robcheck.evaluate(
        model, x, y, **{"suite": suite, "device": "cpu", "epsilon": 0.1, "min_robust_accuracy": 0.5, **more}
    )


def codes(result: Result) -> set[str]:
    return {finding.code for finding in result.findings}


def severe(result: Result) -> set[str]:
    return {finding.code for finding in result.findings if finding.severity == "severe"}


def samples(model: nn.Module, n: int = 60, features: int = 12) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(n, features, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module, change: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, points: Tensor) -> Tensor:
        return self.change(self.inner, points)


MASKED: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "saturated softmax": lambda m, x: (m(x) * 1e4).softmax(dim=1),
    "rounded input": lambda m, x: m((x * 8).round() / 8),
    "signs": lambda m, x: m((x - 0.5).sign()),
    "labels": lambda m, x: nn.functional.one_hot(m(x).argmax(dim=1), 3).float(),
    "detached": lambda m, x: m(x.detach()) + 0 * x.sum(),
}


BLIND = {"ZERO_GRADIENT", "NO_GRADIENT", "GRADIENT_FAILS"}


@pytest.mark.parametrize("kind", MASKED)
def test_gradients_that_are_hidden_are_found_out(kind: str, linear: nn.Module) -> None:
    """Either a stand-in gets around the obstacle and breaks the model, or a severe finding says that none did."""
    model = Wrapped(linear, MASKED[kind])
    x, y = samples(model)
    result = run(model, x, y)
    assert result.verdict != "PASS"
    around = result.plan[0].gradient == "bpda"
    told = {finding.code for finding in result.findings if finding.severity in ("severe", "warning")}
    went_on = any(entry.revises for entry in result.plan) and bool(told & BLIND)
    assert around or went_on or (severe(result) & BLIND and "NOT_ASCENDING" in severe(result))
    if around:
        assert next(iter(result.model.obstacles)) in result.plan[0].reason
        assert result.verdict == "FAIL"
        assert result.robust_accuracy < 0.3


@pytest.mark.parametrize("kind", MASKED)
def test_an_exact_gradient_that_is_forced_is_blind_and_says_so(kind: str, linear: nn.Module) -> None:
    model = Wrapped(linear, MASKED[kind])
    x, y = samples(model)
    result = run(model, x, y, {**PGD, "gradient": "exact"}, {**APGD, "gradient": "exact"})
    assert result.verdict != "PASS"
    assert severe(result) & BLIND
    assert "NOT_ASCENDING" in severe(result)
    assert {f.code for f in result.contract} >= {"NOT_ASCENDING"}


def test_a_model_without_a_twin_cannot_pass_and_its_answers_are_climbed(linear: nn.Module) -> None:
    class Deployed:
        info = ModelInfo(name="deployed", format="onnx", twin=Twin(available=False, reason="Floor has no gradient"))

        def logits(self, points: Tensor) -> Tensor:
            with torch.no_grad():
                return linear(points)

        def differentiable(self, gradient: str = "exact") -> None:  # noqa: ARG002
            return None

    x, y = samples(linear)
    result = run(Deployed(), x, y, PGD, SURROGATE, SQUARE, epsilon=0.03)
    assert "NO_GRADIENT" in severe(result)
    asked = {entry.name for entry in result.plan if not entry.revises}
    assert [record.status for record in result.attacks if record.name in asked] == ["skipped", "ok", "ok"]
    assert any(entry.gradient == "nes" for entry in result.plan if entry.revises)
    assert any(s.outcome == "broken" for s in result.samples)
    strong = run(Deployed(), x, y, PGD, SQUARE, epsilon=0.0001)
    assert strong.verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("order", [(PGD, SQUARE), (SQUARE, PGD)], ids=["gradient first", "black-box first"])
def test_blackbox_beats_whitebox_only_where_gradients_failed(
    order: tuple[dict[str, Any], ...], linear: nn.Module
) -> None:
    """An honest model: whoever comes first takes what falls, and that is no sign of masking."""
    x, y = samples(linear)
    result = run(linear, x, y, *order, epsilon=0.06)
    assert outcomes(result).count("broken") > 10
    assert "BLACKBOX_BEATS_WHITEBOX" not in codes(result)


def outcomes(result: Result) -> list[str]:
    return [sample.outcome for sample in result.samples]


def test_blackbox_beats_whitebox_where_gradients_lie(linear: nn.Module) -> None:
    """The twin's gradient points the wrong way."""

    class Lying(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, points: Tensor) -> Tensor:  # noqa: ARG004
            return points.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return -gradient

    model = Wrapped(linear, lambda m, x: m(Lying.apply(x)))
    x, y = samples(model)
    result = run(model, x, y, {**PGD, "gradient": "exact"}, SQUARE, epsilon=0.06)
    assert {"BLACKBOX_BEATS_WHITEBOX", "UNBOUNDED_FAILS"} <= severe(result)
    assert result.verdict != "PASS"


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_models_that_answer_with_nan(share: float, linear: nn.Module) -> None:
    def change(inner: nn.Module, points: Tensor) -> Tensor:
        bad = points[:, 0] < 0.4 + 0.2 * share
        return torch.where(bad[:, None], inner(points) * float("nan"), inner(points))

    x, y = samples(linear)
    result = run(Wrapped(linear, change), x, y)
    assert "NAN_OUTPUT" in severe(result)
    assert result.verdict != "PASS"
    assert result.clean_accuracy <= 1.01 - share
    assert {s.clean_prediction for s in result.samples} >= {-1}
    assert result.adversarial.isfinite().all()
    Result.model_validate_json(result.model_dump_json())


@pytest.mark.slow
def test_nan_away_from_the_data_is_no_robustness(linear: nn.Module) -> None:
    """NaN wherever the prediction is about to change: an answer that is no class is not a right one."""
    x, y = samples(linear)
    sure = linear(x).topk(2, dim=1).values.diff(dim=1).squeeze(1).abs() > 0.3
    x, y = x[sure], y[sure]

    def change(inner: nn.Module, points: Tensor) -> Tensor:
        top = inner(points).topk(2, dim=1).values
        unsure = (top[:, 0] - top[:, 1]) < 0.3
        return torch.where(unsure[:, None], inner(points) * float("nan"), inner(points))

    assert run(linear, x, y, epsilon=0.15).robust_accuracy < 0.2
    assert run(Wrapped(linear, change), x, y, epsilon=0.15).verdict != "PASS"


@pytest.mark.slow
def test_a_constant_model() -> None:
    class Constant(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return points.sum(dim=1, keepdim=True) * 0 + torch.tensor([1.0, 0.0, 0.0])

    x = torch.rand(60, 12, generator=torch.Generator().manual_seed(0))
    always = run(Constant(), x, torch.zeros(60, dtype=torch.int64))
    assert always.robust_accuracy == 1
    assert always.verdict == "INCONCLUSIVE"
    assert "ZERO_GRADIENT" in severe(always)
    third = run(Constant(), x, torch.arange(60) % 3)
    assert "CLEAN_ACCURACY" in severe(third)
    assert third.clean_accuracy == pytest.approx(1 / 3)


def test_a_model_that_is_never_right(linear: nn.Module) -> None:
    x, y = samples(linear)
    result = run(linear, x, (y + 1) % 3, PGD, {"attack": "fgsm"}, {**PGD, "targets": 2, "name": "t"}, SURROGATE)
    assert (result.clean_accuracy, result.robust_accuracy) == (0, 0)
    assert set(outcomes(result)) == {"clean_error"}
    assert result.verdict == "FAIL"
    assert {record.status for record in result.attacks} == {"idle"}
    assert severe(result) == {"CLEAN_ACCURACY"}


def test_nothing_left_to_attack_is_idle_and_costs_nothing(linear: nn.Module) -> None:
    """Every sample falls to the first attack; the others have no work, and no crash."""
    x, y = samples(linear)
    later = [{"attack": "fgsm"}, {**PGD, "targets": 2, "name": "aimed"}, APGD, SURROGATE, SQUARE]
    result = run(linear, x, y, PGD, *later, epsilon=0.5)
    assert result.robust_accuracy == 0
    assert [record.status for record in result.attacks] == ["ok"] + ["idle"] * 5
    assert [record.forward for record in result.attacks[1:]] == [0] * 5
    assert severe(result) == set()


def test_l0_without_a_radius_of_its_own_cannot_pass(linear: nn.Module) -> None:
    """The suite's 8/255 allows no feature at all: nothing was attacked."""
    x, y = samples(linear)
    try:
        result = run(linear, x, y, norm="l0", epsilon=None)
    except robcheck.RobcheckError:
        return
    assert result.verdict != "PASS"


@pytest.mark.slow
def test_a_batch_norm_left_in_training_is_found(linear: nn.Module) -> None:
    class Batchy(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            logits = linear(points)
            return logits - 0.5 * logits.mean(dim=0) if len(points) > 1 else logits

    x, y = samples(linear)
    assert "BATCH_DEPENDENT" in severe(run(Batchy(), x, y))
