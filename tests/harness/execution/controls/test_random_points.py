"""Random points: where they fall, and that they find what fills a known share of the ball."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.execution import controls
from robcheck.harness.execution.controls.random_points import draw, extremes
from robcheck.harness.geometry import NORMS, Norm
from robcheck.harness.randomness import Stream
from robcheck.harness.results import Result
from robcheck.harness.threat import Ball
from robcheck.suites import Suite

RADIUS = {"linf": 0.1, "l2": 0.3, "l1": 1.2, "l0": 4.0}
FGSM = {"attack": "fgsm", "gradient": "exact"}


@pytest.fixture
def only_random(monkeypatch: pytest.MonkeyPatch) -> None:
    own = tuple(control for control in controls.CONTROLS if control.name == "random")
    monkeypatch.setattr(controls, "CONTROLS", own)


def run(model: nn.Module, x: Tensor, **more: Any) -> Result:
    suite = Suite.model_validate({"name": "tiny", "attacks": [FGSM]})
    y = torch.zeros(len(x), dtype=torch.int64)
    return robcheck.evaluate(model, x, y, **{"suite": suite, "device": "cpu", "epsilon": 0.1, **more})


def samples(n: int = 32, features: int = 12) -> Tensor:
    return 0.4 + 0.2 * torch.rand(n, features, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", NORMS)
def test_points_lie_in_the_ball_and_extreme_ones_at_its_end(norm: Norm) -> None:
    x = samples(10)
    ball = Ball.create(x, RADIUS[norm], norm)
    stream = Stream.create(0, "t", torch.arange(10))
    points = draw(ball, stream, 20)
    assert points.shape == (200, 12)
    assert ball.fold(20).contains(points).all()
    assert len(torch.unique(points, dim=0)) == 200
    ends = extremes(ball.fold(30), stream.fold(30))
    distance = ball.fold(30).distances(ends)
    assert torch.allclose(distance, torch.full_like(distance, RADIUS[norm]), rtol=1e-5)
    # No side is preferred: the mean is the sample.
    assert float((ends.reshape(10, 30, 12).mean(dim=1) - x).mean().abs()) < 0.02
    if norm in ("l1", "l0"):
        at_wall = ((ends < 1e-5) | (ends > 1 - 1e-5)).sum(dim=1)
        assert (at_wall >= (1 if norm == "l1" else 4)).all()


def test_the_share_of_the_ball_is_met() -> None:
    """A slab of the first feature that takes a fifth of the ball."""
    x = samples(40)
    ball = Ball.create(x, 0.1, "linf")
    points = draw(ball, Stream.create(3, "t", torch.arange(40)), 100).reshape(40, 100, 12)
    inside = points[:, :50, 0] - x[:, None, 0]
    share = float(((inside > 0.02) & (inside < 0.06)).double().mean())
    assert abs(share - 0.2) < 3 * (0.2 * 0.8 / 2000) ** 0.5
    assert ((points[:, 50:] - x[:, None]).abs() - 0.1).abs().max() < 1e-6


class Band(nn.Module):
    """Wrong in a slab of the ball that holds a known share of it and no corner; its gradient says nothing."""

    def __init__(self, x: Tensor, share: float) -> None:
        super().__init__()
        self.center = float(x[0, 0])
        self.low, self.high = 0.01, 0.01 + 0.2 * share

    def forward(self, x: Tensor) -> Tensor:
        moved = x.flatten(1)[:, 0] - self.center
        wrong = (moved > self.low) & (moved < self.high)
        score = torch.where(wrong, -1.0, 1.0) + 0 * moved
        return torch.stack([score, torch.zeros_like(score)], dim=1)


@pytest.mark.usefixtures("only_random")
def test_what_fills_a_share_of_the_ball_is_found() -> None:
    x = samples(32)
    x[:, 0] = 0.5
    result = run(Band(x, 0.03), x)
    finding = next(f for f in result.findings if f.code == "RANDOM_FINDS_AE")
    assert finding.severity == "severe"
    record = result.controls[0]
    # 125 points from inside: 1 - 0.97^125 of 32 samples is 31.3.
    assert finding.measured is not None
    assert finding.measured * 32 >= 29
    assert record.fell == round(finding.measured * 32) == sum(s.broken_by == "control: random" for s in result.samples)
    assert record.samples == 32
    assert record.forward <= 32 * 252
    assert result.robust_accuracy == 1 - finding.measured
    rare = run(Band(x, 1e-5), x)
    assert "RANDOM_FINDS_AE" not in {f.code for f in rare.findings}
    assert rare.robust_accuracy == 1


@pytest.mark.usefixtures("only_random")
def test_a_coin_is_no_adversarial_example() -> None:
    """A target that is wrong in two of five answers wherever it is asked: some answer is, of 250, and nothing fell."""

    class Coin(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = torch.where(torch.rand(len(x)) < 0.4, -1.0, 1.0) + 0 * x.flatten(1)[:, 0]
            return torch.stack([score, torch.zeros_like(score)], dim=1)

    result = run(Coin(), samples(16))
    assert result.stochastic
    assert {record.name: record.status for record in result.controls} == {"random": "ok"}
    assert "RANDOM_FINDS_AE" not in {f.code for f in result.findings}


@pytest.mark.usefixtures("only_random")
def test_an_honest_model_loses_nothing(linear: nn.Module) -> None:
    x = samples(40)
    y = linear(x).argmax(dim=1)
    eps = linear.closest(x, y, "linf") * 0.99  # type: ignore[operator]
    suite = Suite.model_validate({"name": "tiny", "attacks": [FGSM]})
    result = robcheck.evaluate(linear, x, y, suite=suite, epsilon=eps, device="cpu")
    assert result.robust_accuracy == 1
    assert "RANDOM_FINDS_AE" not in {f.code for f in result.findings}
