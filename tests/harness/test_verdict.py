"""Every way to PASS, FAIL, INCONCLUSIVE and NO_GATE."""

import pytest

from robcheck.harness.results import Finding, Gate
from robcheck.harness.statistics import bootstrap, clopper_pearson
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


def drawn(rates: list[float], gate: float, *findings: Finding, unknown: int = 0) -> Judgement:
    """A random target: rates of the samples evaluated."""
    held_to = Gate(min_robust_accuracy=gate)
    return judge(sum(rates), unknown, len(rates) + unknown, held_to, list(findings), rates=rates)


@pytest.mark.parametrize(("rate", "verdict"), [(1.0, "INCONCLUSIVE"), (0.0, "FAIL"), (0.9, "INCONCLUSIVE")])
def test_three_equal_rates_prove_little(rate: float, verdict: str) -> None:
    """They have no spread at all, and a bootstrap of them alone would be a point."""
    assert drawn([rate] * 3, 0.9).verdict == verdict
    assert drawn([rate] * 3, 0.5).verdict != "PASS"
    assert drawn([1 - rate] * 3, 0.5).verdict != "PASS"


def test_random_targets_are_judged_by_the_bootstrap() -> None:
    rates = [0.7, 0.8, 0.9, 0.75, 0.85] * 20
    low, high = bootstrap(rates)
    assert drawn(rates, 0.5).interval == (low, high)
    assert (drawn(rates, low).verdict, drawn(rates, low + 1e-9).verdict) == ("PASS", "INCONCLUSIVE")
    assert (drawn(rates, high).verdict, drawn(rates, high + 1e-9).verdict) == ("INCONCLUSIVE", "FAIL")
    assert drawn(rates, 0.5, SEVERE).verdict == "INCONCLUSIVE"
    # A rate tells more than one answer: the same sum of right and wrong answers does not reach so far.
    assert judge(80, 0, 100, Gate(min_robust_accuracy=low), []).verdict == "INCONCLUSIVE"


def test_unknown_samples_of_a_random_target() -> None:
    rates = [0.9] * 95
    assert drawn(rates, 0.8).verdict == "PASS"
    got = drawn(rates, 0.8, unknown=5)
    assert got.verdict == "INCONCLUSIVE"
    assert got.interval[0] < bootstrap(rates)[0] - 0.02
    assert got.interval[1] > bootstrap([*rates, *[1.0] * 5])[1] - 0.01
    assert drawn([0.1] * 95, 0.3, unknown=5).verdict == "FAIL"
    assert drawn([0.1] * 60, 0.4, unknown=40).verdict == "INCONCLUSIVE"
    assert drawn([], 0.5, unknown=10).verdict == "INCONCLUSIVE"
