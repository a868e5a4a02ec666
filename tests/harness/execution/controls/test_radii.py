"""Accuracy over the radius: the truth where it is known, and attacks that lose their way in larger balls."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.diagnosis import CHECKS
from robcheck.harness.execution import controls
from robcheck.harness.geometry import Norm
from robcheck.harness.results import Result
from robcheck.suites import Suite

PGD = {"attack": "pgd", "steps": 20, "loss": "margin"}
OURS = ("radii", "unbounded")


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiments of others cost time and say nothing here."""
    own = tuple(control for control in controls.CONTROLS if control.name in OURS)
    monkeypatch.setattr(controls, "CONTROLS", own)


def run(model: nn.Module, x: Tensor, y: Tensor, *attacks: dict[str, Any], **more: Any) -> Result:
    suite = Suite.model_validate({"name": "tiny", "attacks": list(attacks) or [PGD]})
    return robcheck.evaluate(model, x, y, **{"suite": suite, "device": "cpu", **more})


def codes(result: Result) -> set[str]:
    return {finding.code for finding in result.findings}


def samples(n: int = 32) -> Tensor:
    return 0.4 + 0.2 * torch.rand(n, 12, generator=torch.Generator().manual_seed(1))


def test_every_control_is_asked_for_by_a_check() -> None:
    needed = {name for check in CHECKS for name in check.needs}
    assert {"radii", "random", "grid", "unbounded"} <= needed


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.05), ("l1", 0.1)])
def test_the_curve_of_a_linear_model_is_the_known_one(norm: Norm, eps: float, linear: nn.Module) -> None:
    """Labels that are wrong for some: the curve begins at clean accuracy, not at 1."""
    x = samples()
    y = linear(x).argmax(dim=1)
    distance = linear.closest(x, y, norm)  # type: ignore[operator]
    y[:3] = (y[:3] + 1) % 3
    distance[:3] = 0
    result = run(linear, x, y, norm=norm, epsilon=eps)
    assert result.radii[0].epsilon == 0
    assert result.radii[0].accuracy == result.clean_accuracy == 29 / 32
    at = {round(point.epsilon / eps, 2): point for point in result.radii}
    assert {0, 0.25, 0.5, 1, 2, 4, 8} <= set(at)
    for multiple in (0.25, 0.5, 1, 2, 4):  # up to there the walls are out of reach
        exact = int((distance > multiple * eps).sum())
        assert abs(at[multiple].accuracy * 32 - exact) <= 1, multiple
        assert at[multiple].samples == 32
    assert at[1].accuracy == result.robust_accuracy
    assert result.radii[-1].accuracy == 0
    accuracies = [point.accuracy for point in sorted(result.radii, key=lambda point: point.epsilon)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert not codes(result) & {"EPS_NONMONOTONE", "UNBOUNDED_FAILS", "CONTROL_FAILED"}
    control = {record.name: record for record in result.controls}["radii"]
    assert control.status == "ok"
    assert control.forward <= 32 * 7 * 23


class Plateau(nn.Module):
    """Honest near the middle of the box; beyond `edge` nothing but a constant right answer."""

    def __init__(self, edge: float) -> None:
        super().__init__()
        self.edge = edge

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1) - 0.5
        margin = 1 - 4 * z.sum(dim=1)
        far = z.abs().amax(dim=1) > self.edge
        margin = torch.where(far, margin.detach() * 0 + 5.0 + 0 * margin, margin)
        return torch.stack([margin, torch.zeros_like(margin)], dim=1)


def test_an_attack_that_dies_in_larger_balls_is_told() -> None:
    x = 0.5 + 0.02 * (torch.rand(32, 12, generator=torch.Generator().manual_seed(2)) - 0.5)
    result = run(Plateau(0.1), x, torch.zeros(32, dtype=torch.int64), epsilon=0.05)
    finding = next(f for f in result.findings if f.code == "EPS_NONMONOTONE")
    assert finding.severity == "severe"
    assert finding.measured is not None
    assert finding.measured > 0.9
    at = {round(point.epsilon, 3): point.accuracy for point in result.radii}
    # What fell in the small ball has fallen in the large one, whatever the attack did there.
    assert at[0.013] == 1
    assert at[0.05] == at[0.4] == at[0.5] == 0
    assert "UNBOUNDED_FAILS" in codes(result)


def test_an_unbounded_attack_in_l1_is_no_false_alarm(linear: nn.Module) -> None:
    x = samples()
    result = run(linear, x, linear(x).argmax(dim=1), norm="l1", epsilon=0.05)
    measured = {record.name: record.measures for record in result.controls}["unbounded"]
    assert [measure.value for measure in measured] == [0]
    assert "UNBOUNDED_FAILS" not in codes(result)


def test_without_gradients_a_random_search_draws_the_curve(linear: nn.Module) -> None:
    x = samples(16)
    y = linear(x).argmax(dim=1)
    result = run(linear, x, y, {"attack": "square", "queries": 50}, epsilon=0.02)
    at = {round(point.epsilon, 3): point for point in result.radii}
    exact = linear.closest(x, y, "linf")  # type: ignore[operator]
    for radius in (0.02, 0.04, 0.08):
        assert abs(at[radius].accuracy * 16 - int((exact > radius).sum())) <= 1


def test_a_box_is_only_ever_made_smaller(linear: nn.Module) -> None:
    x = samples(12)
    result = run(linear, x, linear(x).argmax(dim=1), box=(x - 0.1, x + 0.1))
    assert len(result.radii) == 4
    exact = linear.closest(x, linear(x).argmax(dim=1), "linf")  # type: ignore[operator]
    # In units of the box's width, which is 0.2.
    for point in result.radii:
        assert abs(point.accuracy * 12 - int((exact > 0.2 * point.epsilon).sum())) <= 1
    assert result.radii[-1].accuracy == result.robust_accuracy


def test_more_samples_with_full_controls(linear: nn.Module) -> None:
    x = samples(200)
    y = linear(x).argmax(dim=1)
    assert run(linear, x, y, epsilon=0.02).radii[1].samples == 32
    assert run(linear, x, y, epsilon=0.02, controls="full").radii[1].samples == 128
