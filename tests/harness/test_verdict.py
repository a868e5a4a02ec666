"""Every way to PASS, FAIL, INCONCLUSIVE and NO_GATE."""

import pytest

from robcheck.harness.results import Finding, Gate
from robcheck.harness.statistics import clopper_pearson
from robcheck.harness.verdict import Judgement, judge

SEVERE = Finding(code="BAD", severity="severe", message="Something is wrong.")
OTHER = Finding(code="WORSE", severity="severe", message="Something else is wrong.")
WARNING = Finding(code="ODD", severity="warning", message="Something is odd.")


def held(
    robust: float, n: int = 100, gate: float | None = 0.5, *findings: Finding, unknown: int = 0, on: str = "interval"
) -> Judgement:
    return judge(robust, unknown, n, Gate(min_robust_accuracy=gate, on=on), list(findings))  # type: ignore[arg-type]


def test_pass() -> None:
    got = held(90)
    assert got.verdict == "PASS"
    assert got.against_pass == []
    assert got.interval == clopper_pearson(90, 100)
    assert f"{clopper_pearson(90, 100)[0]:.1%}" in got.explanation
    assert held(90, 100, 0.5, WARNING).verdict == "PASS"


def test_the_threshold_itself_is_reached() -> None:
    low, high = clopper_pearson(60, 100)
    assert held(60, gate=low).verdict == "PASS"
    assert held(60, gate=low + 1e-9).verdict == "INCONCLUSIVE"
    assert held(60, gate=high).verdict == "INCONCLUSIVE"
    assert held(60, gate=high + 1e-9).verdict == "FAIL"
    assert held(0, gate=0.0).verdict == "PASS"
    assert held(100, gate=1.0).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("findings", [(), (SEVERE,), (SEVERE, OTHER, WARNING)])
def test_nothing_undoes_a_fail(findings: tuple[Finding, ...]) -> None:
    got = held(20, 100, 0.5, *findings)
    assert got.verdict == "FAIL"
    assert len(got.against_pass) == sum(f.severity == "severe" for f in findings)


def test_inconclusive_by_interval() -> None:
    got = held(50)
    assert got.verdict == "INCONCLUSIVE"
    assert got.against_pass[0].startswith("INTERVAL")
    assert "evaluate more samples" in got.explanation


def test_inconclusive_by_finding() -> None:
    got = held(90, 100, 0.5, WARNING, SEVERE, OTHER)
    assert got.verdict == "INCONCLUSIVE"
    assert got.against_pass == ["BAD: Something is wrong.", "WORSE: Something else is wrong."]
    assert "BAD" in got.explanation


def test_unknown_samples_are_broken_for_a_pass_and_robust_for_a_fail() -> None:
    assert held(95, gate=0.5, unknown=0).verdict == "PASS"
    got = held(95, gate=0.5, unknown=2)
    assert got.verdict == "INCONCLUSIVE"
    assert "2 of 100" in got.explanation
    assert got.interval == (clopper_pearson(95, 100)[0], clopper_pearson(97, 100)[1])
    assert held(20, gate=0.5, unknown=5).verdict == "FAIL"
    assert held(20, gate=0.5, unknown=40).verdict == "INCONCLUSIVE"
    assert held(0, gate=0.5, unknown=100).verdict == "INCONCLUSIVE"


def test_point_mode() -> None:
    assert held(50, on="point").verdict == "PASS"
    assert held(49, on="point").verdict == "FAIL"
    assert held(50, 100, 0.5, SEVERE, on="point").verdict == "INCONCLUSIVE"
    assert held(49, 100, 0.5, SEVERE, on="point").verdict == "FAIL"
    assert held(45, unknown=10, on="point").verdict == "INCONCLUSIVE"
    assert held(39, unknown=10, on="point").verdict == "FAIL"
    assert held(7, 10, 0.7, on="point").verdict == "PASS"
    assert "point estimate" in held(50, on="point").explanation


def test_point_mode_speaks_of_points() -> None:
    """With unknown samples the point estimate lies between two numbers, which are not those of the interval."""
    text = held(45, unknown=10, on="point").explanation
    assert "45.0%" in text
    assert "55.0%" in text


def test_no_gate() -> None:
    assert held(50, gate=None).verdict == "NO_GATE"
    assert "Nothing would have stood against" in held(50, gate=None).explanation
    got = held(50, 100, None, SEVERE, OTHER)
    assert got.verdict == "NO_GATE"
    assert "BAD: Something is wrong." in got.explanation
    assert "+1 more" in got.explanation
    assert len(got.against_pass) == 2
    assert held(50, gate=None, unknown=3).against_pass[0].startswith("NOT_EVALUATED")


def test_confidence_widens() -> None:
    strict = judge(70, 0, 100, Gate(min_robust_accuracy=0.6, confidence=0.999), [])
    loose = judge(70, 0, 100, Gate(min_robust_accuracy=0.6, confidence=0.6), [])
    assert (strict.verdict, loose.verdict) == ("INCONCLUSIVE", "PASS")


def test_rates() -> None:
    assert held(49.5, on="point").verdict == "FAIL"
    assert held(89.7).verdict == "PASS"
