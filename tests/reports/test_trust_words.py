"""Bounds, indicators, controls, waivers, baseline and stopping in words."""

import pytest

from robcheck.harness.results import SampleRecord
from robcheck.harness.trust import CertifiedRecord, ControlRecord, SequentialRecord
from robcheck.reports.attacks import attack_lines
from robcheck.reports.bounds import certified_words, grid_words, on_grid, proven_samples
from robcheck.reports.caveat import taken
from robcheck.reports.controls import controls_words, passes, tally
from robcheck.reports.indicators import indicator_tally, indicator_words, looked_at
from robcheck.reports.judging import regression_line, regression_words, sequential_words
from robcheck.reports.shares import shares
from robcheck.reports.waivers import waived_words
from robcheck.reports.wording import capfirst, points, within


def _plain(words):
    return words.replace("\u202f", "").replace("\u2212", "-").replace("\u2264", "<=")


def test_certified_at_most_truth_at_most_attacked(make_trusted):
    result = make_trusted()
    assert _plain(certified_words(result)) == "proven 15.0% <= truth <= attacked 40.0%"
    assert proven_samples(result) == 3
    part = make_trusted(certified=CertifiedRecord(accuracy=0.5, samples=8))
    assert _plain(certified_words(part)) == "proven 50.0% <= truth <= attacked 40.0%, on 8 samples"
    assert proven_samples(part) == 0


def test_a_contradicted_proof_is_void(make_trusted):
    result = make_trusted(certified=CertifiedRecord(accuracy=0.15, samples=20, contradicted=2))
    assert certified_words(result) == "the proof is void: an attack broke 2 samples that interval bounds had proven"
    assert "truth" not in certified_words(result)
    assert proven_samples(result) == 0


@pytest.mark.parametrize("accuracy", [float("nan"), -1.0, 5.0])
def test_odd_certificates_do_not_break_the_bar(make_trusted, accuracy):
    result = make_trusted(certified=CertifiedRecord(accuracy=accuracy, samples=20))
    assert 0 <= proven_samples(result) <= 8
    assert sum(share.samples for share in shares(result)) == 20


def test_the_bar_tells_proven_from_withstood(make_trusted, make_result):
    assert [(share.outcome, share.samples) for share in shares(make_trusted())] == [
        ("proven", 3),
        ("survived", 5),
        ("broken", 8),
        ("clean_error", 4),
    ]
    assert [share.outcome for share in shares(make_result())] == ["survived", "broken", "clean_error"]
    assert shares(make_result(samples=[])) == []


def test_samples_that_nobody_took_are_not_a_failure(make_trusted, make_result):
    waiting = [SampleRecord(id=i, label=0, outcome="not_evaluated", clean_prediction=0) for i in range(80, 165)]
    result = make_trusted(samples=[*make_trusted().samples, *waiting], certified=None)
    counted = {share.outcome: share.samples for share in shares(result)}
    assert (counted["untaken"], counted["not_evaluated"]) == (80, 5)
    assert taken(result) == 20
    assert "untaken" not in {share.outcome for share in shares(make_result(samples=waiting))}


def test_eight_bits(make_trusted, make_result):
    assert _plain(grid_words(make_trusted())) == "95% interval 23.0% to 68.0%; 7 of 8 breaks hold there"
    assert grid_words(make_result()) == ""
    result = make_trusted()
    assert not on_grid(result)
    result.threat = result.threat.model_copy(update={"pixel_grid": "8bit"})
    assert on_grid(result)


def test_only_standing_samples_are_evidence(make_trusted, make_result):
    result = make_trusted()
    result.samples[10].evidence = True  # broken: no evidence of anything
    assert len(looked_at(result)) == 6
    assert indicator_tally(result) == "of 6 standing samples looked at, 5 count as evidence of robustness"
    assert indicator_words(result).endswith("(I1 no gradient on 1; I4 the loss was still rising on 1)")
    assert indicator_words(make_result()) == ""


def test_the_tally_of_controls(make_trusted, make_result):
    assert tally(make_trusted().controls) == (
        "2 of 4 experiments ran, 1 skipped, 1 failed (planted); "
        "random broke 1 sample that every attack had left standing, and the worst case counts them"
    )
    assert "switched off" in controls_words(make_result(controls_level="none"))
    assert "no control experiment" in controls_words(make_result())
    assert passes(ControlRecord(name="a", question="b", forward=3, backward=4)) == 7


def test_a_waived_finding_says_why(make_trusted):
    result = make_trusted()
    waived = next(f for f in result.findings if f.waived)
    assert waived_words(waived) == "waived: old (until 2027-01-31)"
    assert waived_words(result.findings[0]) == ""


def test_regression(make_trusted, make_result):
    words = _plain(regression_words(make_trusted()))
    assert "On the same 20 samples small-v1 had 50.0% and this run has 40.0%: -10.0 points" in words
    assert "(95% interval -29.0 to +9.0 points)" in words
    assert (
        "3 were robust only before, 1 only now; exact McNemar p = 0.625. The gate allows a loss of 2.0 points." in words
    )
    record = make_trusted().regression.model_copy(update={"change": (-0.2, 0.1), "allowed": None})
    line = _plain(regression_line(make_trusted(regression=record)))
    assert "between -20.0 points and +10.0 points" in line
    assert "allowed" not in line
    assert (regression_words(make_result()), regression_line(make_result())) == ("", "")


def test_stopping(make_trusted, make_result):
    assert sequential_words(make_trusted()) == "decided after 20 of 100 samples (2 looks); a confidence sequence"
    nothing = SequentialRecord(method="m", looked=[], of=5, decided=False)
    assert sequential_words(make_trusted(sequential=nothing)) == "not decided after 0 of 5 samples (0 looks); m"
    assert sequential_words(make_result()) == ""


def test_an_attack_without_a_meaning_is_told_once(make_result):
    result = make_result()
    record, entry = result.attacks[0], result.plan[1]
    idle = record.model_copy(update={"name": "joint", "status": "not_applicable", "reason": "never rejects"})
    left = entry.model_copy(update={"name": "joint", "reason": "never rejects"})
    result.attacks.append(idle)
    assert "joint" in [line.record.name for line in attack_lines(result)]
    result.plan.append(left)
    names = [line.record.name for line in attack_lines(result)]
    assert "joint" not in names
    assert "transfer" in names  # skipped is a weakness and stays


def test_a_reason_is_not_told_twice(make_result):
    result = make_result()
    result.attacks[0].reason = result.plan[0].reason
    assert attack_lines(result)[0].reason == ""
    result.attacks[0].reason = "another"
    assert attack_lines(result)[0].reason == "another"


@pytest.mark.parametrize(
    ("share", "width"), [(0.5, 50.0), (-1.0, 0.0), (7.0, 100.0), (float("nan"), 0.0), (float("inf"), 0.0)]
)
def test_a_bar_has_a_width_that_can_be_drawn(share, width):
    assert within(share) == width


def test_points():
    assert [_plain(points(value)) for value in (0.025, -0.1, 0.0, -0.0001)] == [
        "+2.5 points",
        "-10.0 points",
        "0.0 points",
        "0.0 points",
    ]
    assert points(float("nan")) == "\u2013"
    assert capfirst("waived") == "Waived"
    assert capfirst("") == ""
