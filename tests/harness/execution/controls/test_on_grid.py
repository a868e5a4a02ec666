"""Worst cases on the 8-bit pixel grid: beside the headline, and as the headline."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.errors import UsageError
from robcheck.harness.execution import controls
from robcheck.harness.grid import nearest
from robcheck.harness.results import Result
from robcheck.suites import Suite

PGD = {"attack": "pgd", "steps": 10, "loss": "margin"}


@pytest.fixture(autouse=True)
def only_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    own = tuple(control for control in controls.CONTROLS if control.name == "grid")
    monkeypatch.setattr(controls, "CONTROLS", own)


def run(model: Any, x: Tensor, y: Tensor, *attacks: dict[str, Any], **more: Any) -> Result:
    suite = Suite.model_validate({"name": "tiny", "attacks": list(attacks) or [PGD]})
    return robcheck.evaluate(model, x, y, **{"suite": suite, "device": "cpu", **more})


def images(n: int = 40) -> Tensor:
    return 0.4 + 0.2 * torch.rand(n, 1, 3, 4, generator=torch.Generator().manual_seed(1))


def codes(result: Result) -> set[str]:
    return {finding.code for finding in result.findings}


class BetweenLevels(nn.Module):
    """Wrong as soon as a pixel lies a third of a level off the grid: no image file breaks it."""

    def forward(self, x: Tensor) -> Tensor:
        level = x.flatten(1) * 255
        score = 1 - 3 * (level - level.detach().round()).abs().amax(dim=1)
        return torch.stack([score, torch.zeros_like(score)], dim=1)


def test_a_model_that_breaks_between_the_levels_alone() -> None:
    x = nearest(images())
    y = torch.zeros(40, dtype=torch.int64)
    fixed = {**PGD, "gradient": "exact"}
    free = run(BetweenLevels(), x, y, fixed, epsilon=0.02)
    assert free.clean_accuracy == 1
    assert free.robust_accuracy == 0
    assert free.grid is not None
    assert (free.grid.robust_accuracy, free.grid.kept, free.grid.breaks) == (1, 0, 40)
    assert free.grid.interval[0] < 1 == free.grid.interval[1]
    finding = next(f for f in free.findings if f.code == "INVALID_AE")
    assert finding.severity == "warning"
    stored = run(BetweenLevels(), x, y, fixed, epsilon=0.02, pixel_grid="8bit")
    assert stored.robust_accuracy == 1
    assert stored.grid is None
    assert (stored.threat.pixel_grid, stored.threat.rounded) == ("8bit", 0)
    assert not codes(stored) & {"INVALID_AE", "PIXEL_GRID"}


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_the_number_on_the_grid_is_the_known_one(bounds: tuple[float, float], linear: nn.Module) -> None:
    """Between whole levels: what a corner of the ball breaks and the last level inside does not."""
    z = nearest(images(60))
    y = linear(z).argmax(dim=1)
    distance = linear.closest(z, y, "linf") * 255  # type: ignore[operator]
    low, high = bounds

    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return linear((x - low) / (high - low))

    model = robcheck.load_model(Scaled(), bounds=bounds, device="cpu")
    x = low + (high - low) * z
    floor = int(distance.median())
    radius = floor + 0.95
    free = run(model, x, y, epsilon=radius / 255)
    stored = run(model, x, y, epsilon=radius / 255, pixel_grid="8bit")
    assert free.robust_accuracy == int((distance > radius).sum()) / 60
    assert stored.robust_accuracy == int((distance > floor).sum()) / 60 > free.robust_accuracy
    assert free.grid is not None
    assert free.grid.robust_accuracy == stored.robust_accuracy
    assert free.grid.breaks - free.grid.kept == round(60 * (stored.robust_accuracy - free.robust_accuracy))
    assert stored.threat.epsilon == pytest.approx(radius / 255)
    level = (stored.adversarial.double() - low) / (high - low) * 255
    assert (level - level.round()).abs().max() < 1e-4
    moved = ((stored.adversarial - x) / (high - low) * 255).abs().flatten(1).amax(dim=1)
    assert moved.max() == pytest.approx(floor, abs=1e-3)
    if high == 255:
        assert torch.equal(stored.adversarial, stored.adversarial.round())


@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
@pytest.mark.parametrize("attack", [PGD, {"attack": "fgsm"}], ids=["pgd", "fgsm"])
def test_counted_points_lie_on_the_grid_in_every_norm(norm: str, attack: dict[str, Any], linear: nn.Module) -> None:
    z = images(30)
    y = linear(nearest(z)).argmax(dim=1)
    eps = {"l2": 0.1, "l1": 0.2, "l0": 2}[norm]
    result = run(linear, z, y, attack, norm=norm, epsilon=eps, pixel_grid="8bit")
    assert result.robust_accuracy < 1
    assert "INVALID_CANDIDATES" not in codes(result)
    assert result.threat.rounded == 30
    assert "PIXEL_GRID" in codes(result)
    assert torch.equal(nearest(result.adversarial), result.adversarial)
    moved = (result.adversarial.double() - nearest(z).double()).flatten(1)
    size = (moved != 0).sum(dim=1) if norm == "l0" else moved.norm(p=int(norm[1]), dim=1)
    assert (size <= eps * (1 + 1e-6) + 1e-7).all()
    answers = linear(result.adversarial).argmax(dim=1)
    assert [s.outcome == "broken" for s in result.samples] == (answers != y).tolist()


def test_differences_of_answers_step_over_the_levels(linear: nn.Module) -> None:
    """Rounding hides steps below one level; gradients from answers have to take longer ones."""
    x = nearest(images(30))
    y = linear(x).argmax(dim=1)
    radius = float(linear.closest(x, y, "linf").median()) * 255 // 1 + 0.5  # type: ignore[operator]
    by_answers = run(linear, x, y, {**PGD, "gradient": "finite-differences"}, epsilon=radius / 255, pixel_grid="8bit")
    exact = run(linear, x, y, epsilon=radius / 255, pixel_grid="8bit")
    assert by_answers.robust_accuracy == exact.robust_accuracy < 1


def test_a_radius_below_one_level_leaves_nothing_to_attack(linear: nn.Module) -> None:
    x = images(10)
    result = run(linear, x, linear(x).argmax(dim=1), epsilon=0.003, pixel_grid="8bit", min_robust_accuracy=0.1)
    assert "ZERO_RADIUS" in codes(result)
    assert result.verdict != "PASS"


def test_samples_off_the_grid_whose_balls_hold_no_point_of_it(linear: nn.Module) -> None:
    x = nearest(images(10)) + 0.5 / 255
    result = run(linear, x, linear(x).argmax(dim=1), epsilon=3, norm="l0")
    assert result.robust_accuracy < 1
    assert result.grid is None
    assert result.controls[0].status == "skipped"


def test_a_random_target_is_scored_on_the_grid_by_rates(linear: nn.Module) -> None:
    class Noisy(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return linear(points) + 0.2 * torch.randn(len(points), 3)

    x = nearest(images(12))
    y = linear(x).argmax(dim=1)
    fast = {**PGD, "eot": 4, "steps": 6}
    free = run(Noisy(), x, y, fast, epsilon=8 / 255)
    assert free.grid is not None
    assert 0 < free.grid.robust_accuracy < free.clean_accuracy
    # Every corner of that ball lies on the grid.
    assert free.grid.robust_accuracy == pytest.approx(free.robust_accuracy, abs=0.1)
    stored = run(Noisy(), x, y, fast, epsilon=8 / 255, pixel_grid="8bit")
    assert stored.robust_accuracy == pytest.approx(free.robust_accuracy, abs=0.1)


def test_what_is_no_image_has_no_pixel_grid(linear: nn.Module) -> None:
    x = images(4)
    y = linear(x).argmax(dim=1)
    with pytest.raises(UsageError, match="no images"):
        run(linear, x.flatten(1), y, epsilon=0.1, pixel_grid="8bit")
    with pytest.raises(UsageError, match="box"):
        run(linear, x, y, box=(x - 0.1, x + 0.1), pixel_grid="8bit")
    with pytest.raises(UsageError, match="none or 8bit"):
        run(linear, x, y, epsilon=0.1, pixel_grid="16bit")
    assert run(linear, x.flatten(1), y, epsilon=0.1).grid is None
