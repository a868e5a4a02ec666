"""The checks that look at balls: growing ones, random points in them, the pixel grid, and the whole box."""

from dataclasses import replace

import pytest

from robcheck.harness.diagnosis import Probe, Records
from robcheck.harness.diagnosis.eps_nonmonotone import Radii, Radius, eps_nonmonotone
from robcheck.harness.diagnosis.invalid_ae import OnGrid, invalid_ae
from robcheck.harness.diagnosis.limits import LIMITS
from robcheck.harness.diagnosis.outcome import Outcome
from robcheck.harness.diagnosis.pixel_grid import pixel_grid
from robcheck.harness.diagnosis.random_finds_ae import RandomPoints, random_finds_ae
from robcheck.harness.diagnosis.unbounded_fails import Unbounded, unbounded_fails
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import ThreatRecord

CURVE = Radii(samples=32, points=(Radius(0.0, 30, 30), Radius(0.1, 10, 10)), smaller=0.05, larger=0.1)


def records(classes: int = 10, **outcomes: Outcome) -> Records:
    info = ModelInfo(name="m", format="onnx", twin=Twin(available=True, tolerance=1e-3))
    return Records(
        samples=100, evaluated=100, classes=classes, clean_accuracy=0.9, probe=Probe(), info=info, outcomes=outcomes
    )


@pytest.mark.parametrize(
    ("smaller", "larger", "fires"),
    [(0, 20, False), (2, 0, False), (7, 0, False), (8, 0, True), (12, 1, True), (12, 9, False), (32, 0, True)],
)
def test_a_larger_ball_that_helps_less(smaller: int, larger: int, fires: bool) -> None:
    """Exact McNemar below one in a hundred: eight against none, twelve against one."""
    found = eps_nonmonotone(records(radii=replace(CURVE, only_smaller=smaller, only_larger=larger)))
    assert (found is not None) == fires
    if found is not None:
        assert found.severity == LIMITS["EPS_NONMONOTONE"].severity == "severe"
        assert "0.05 and not at 0.1" in found.message
        assert found.measured == (smaller - larger) / 32


@pytest.mark.parametrize(
    ("wide", "classes", "fires"),
    [(None, 10, False), (0, 10, False), (8, 10, False), (9, 10, True), (32, 10, True), (24, 2, False), (25, 2, True)],
)
def test_at_half_the_range_chance_is_what_is_left(wide: int | None, classes: int, fires: bool) -> None:
    """Of 32: 3.2 by chance and three times 1.7 in ten classes; 16 and three times 2.8 in two."""
    found = unbounded_fails(records(classes, radii=replace(CURVE, wide=wide)))
    assert (found is not None) == fires


def test_the_whole_box_and_what_to_do_about_a_detector() -> None:
    plain = unbounded_fails(records(unbounded=Unbounded(32, 5)))
    detector = unbounded_fails(records(unbounded=Unbounded(32, 5, rejects=True)))
    assert plain is not None
    assert detector is not None
    assert "rejection score" in detector.remedy
    assert "rejection" not in plain.remedy
    assert unbounded_fails(records(unbounded=Unbounded(32, 1))) is None


@pytest.mark.parametrize(("broken", "severity"), [(0, None), (1, "severe"), (32, "severe")])
def test_any_random_success_counts(broken: int, severity: str | None) -> None:
    found = random_finds_ae(records(random=RandomPoints(32, 250, broken)))
    assert (None if found is None else found.severity) == severity


@pytest.mark.parametrize(
    ("kept", "breaks", "fires"), [(0, 0, False), (0, 3, True), (1, 3, False), (997, 1000, False), (985, 1000, True)]
)
def test_breaks_that_rounding_undoes(kept: int, breaks: int, fires: bool) -> None:
    found = invalid_ae(records(grid=OnGrid(50, kept, breaks, ())))
    assert (found is not None) == fires
    assert found is None or (found.severity == "warning" and "--pixel-grid" in found.remedy)


def test_rounded_samples_are_told() -> None:
    threat = ThreatRecord(norm="linf", epsilon=0.1, pixel_grid="8bit", rounded=7)
    found = pixel_grid(replace(records(), threat=threat))
    assert found is not None
    assert found.severity == "info"
    assert found.message.startswith("7 of 100 samples")
    assert pixel_grid(replace(records(), threat=threat.model_copy(update={"rounded": 0}))) is None
    assert pixel_grid(replace(records(), threat=None)) is None
