"""What a waiver may do: keep a finding from standing against a PASS until a day, and nothing else."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robcheck.harness.diagnosis.limits import LIMITS
from robcheck.harness.results import Finding, Gate, RegressionRecord
from robcheck.harness.trust import Waiver
from robcheck.harness.verdict import Judgement, judge
from robcheck.harness.waivers import VOID, apply_waivers

TODAY = date(2026, 6, 15)
LATER, TODAY_ITSELF, BEFORE = "2026-06-16", "2026-06-15", "2026-06-14"


def severe(code: str) -> Finding:
    return Finding(code=code, severity="severe", message=f"{code} was seen.")


def waiver(code: str, expires: str = LATER) -> Waiver:
    return Waiver(code=code, reason="known and accepted", expires=expires)


def statuses(found: list[Finding], *waivers: Waiver) -> list[str]:
    return [w.status for w in apply_waivers(found, waivers, TODAY)[1]]


def test_what_becomes_of_a_waiver() -> None:
    found = [
        severe("UNBOUNDED_FAILS"),
        severe("INCOMPLETE"),
        Finding(code="SHATTERED", severity="warning", message="m"),
    ]
    assert statuses(found, waiver("UNBOUNDED_FAILS")) == ["applied"]
    assert statuses(found, waiver("UNBOUNDED_FAILS", TODAY_ITSELF)) == ["applied"]
    assert statuses(found, waiver("UNBOUNDED_FAILS", BEFORE)) == ["expired"]
    assert statuses(found, waiver("POOR_FIT")) == ["unused"]
    assert statuses(found, waiver("SHATTERED")) == ["unused"]
    assert statuses(found, waiver("INCOMPLETE")) == ["refused"]
    assert statuses(found, waiver("INCOMPLETE", BEFORE)) == ["refused"]


def test_a_waived_finding_stays_severe_and_says_why() -> None:
    found, _ = apply_waivers([severe("POOR_FIT"), severe("UNBOUNDED_FAILS")], [waiver("POOR_FIT")], TODAY)
    assert [(f.code, f.severity, f.waived) for f in found] == [
        ("POOR_FIT", "severe", "known and accepted (until 2026-06-16)"),
        ("UNBOUNDED_FAILS", "severe", ""),
    ]


def test_an_expired_waiver_stands_out_and_the_finding_stands_again() -> None:
    found, _ = apply_waivers([severe("POOR_FIT")], [waiver("POOR_FIT", BEFORE)], TODAY)
    assert [(f.code, f.severity, f.waived) for f in found] == [
        ("POOR_FIT", "severe", ""),
        ("WAIVER_EXPIRED", "warning", ""),
    ]
    assert "2026-06-14" in found[1].message
    assert "stands against a PASS again" in found[1].message
    assert found[1].measured == 1
    unused, _ = apply_waivers([], [waiver("POOR_FIT", BEFORE)], TODAY)
    assert "nothing that it names was found" in unused[0].message
    renewed, _ = apply_waivers([severe("POOR_FIT")], [waiver("POOR_FIT", BEFORE), waiver("POOR_FIT")], TODAY)
    assert renewed[0].waived
    assert "again" not in renewed[1].message


def test_records_that_are_given_are_left_alone() -> None:
    found, waivers = [severe("POOR_FIT")], [waiver("POOR_FIT")]
    apply_waivers(found, waivers, TODAY)
    assert (found[0].waived, waivers[0].status) == ("", "unused")


CODES = [*sorted(set(LIMITS) - set(VOID)), *VOID]
FINDINGS = st.lists(
    st.builds(
        Finding,
        code=st.sampled_from(CODES),
        severity=st.sampled_from(["info", "warning", "severe"]),
        message=st.just("m"),
    ),
    max_size=6,
)
WAIVERS = st.lists(
    st.builds(waiver, st.sampled_from(CODES), st.sampled_from([BEFORE, TODAY_ITSELF, LATER])), max_size=5
)


def judged(robust: int, unknown: int, findings: list[Finding], change: float | None, on: str) -> Judgement:
    gate = Gate(min_robust_accuracy=0.6, on=on, max_regression=None if change is None else 0.02)  # type: ignore[arg-type]
    record = None if change is None else regressed(change)
    return judge(robust, unknown, 100, gate, findings, regression=record)


def regressed(change: float, spread: float = 0.05) -> RegressionRecord:
    return RegressionRecord(
        baseline="old",
        samples=100,
        before=0.8,
        after=0.8 + change,
        only_before=0,
        only_after=0,
        p=1.0,
        interval=(change - spread, change + spread),
        change=(change, change),
        allowed=0.02,
    )


@settings(max_examples=300, deadline=None)
@given(
    robust=st.integers(0, 90),
    unknown=st.integers(0, 10),
    findings=FINDINGS,
    waivers=WAIVERS,
    change=st.none() | st.floats(-0.3, 0.3),
    on=st.sampled_from(["interval", "point"]),
)
def test_findings_and_waivers_move_between_pass_and_inconclusive_alone(
    robust: int, unknown: int, findings: list[Finding], waivers: list[Waiver], change: float | None, on: str
) -> None:
    """Whatever is found and waived: FAIL stays FAIL, nothing becomes FAIL, and a PASS needs that nothing stands."""
    bare = judged(robust, unknown, [], change, on).verdict
    plain = judged(robust, unknown, findings, change, on)
    marked, after = apply_waivers(findings, waivers, TODAY)
    waived = judged(robust, unknown, marked, change, on)
    assert (bare == "FAIL") == (plain.verdict == "FAIL") == (waived.verdict == "FAIL")
    if bare == "INCONCLUSIVE":
        assert plain.verdict == waived.verdict == "INCONCLUSIVE"
    standing = {f.code for f in findings if f.severity == "severe"}
    lifted = {w.code for w in after if w.status == "applied"}
    assert lifted <= standing - set(VOID)
    if waived.verdict == "PASS":
        assert bare == "PASS"
        assert standing <= lifted
        assert not unknown
        assert waived.against_pass == []
    if bare == "PASS" and standing <= lifted:
        assert waived.verdict == "PASS"
    for code in lifted:
        assert code in waived.explanation


@pytest.mark.parametrize(
    ("robust", "change", "verdict"),
    [
        (90, 0.10, "PASS"),
        (90, -0.10, "FAIL"),
        (90, 0.0, "INCONCLUSIVE"),
        (20, 0.10, "FAIL"),
        (20, 0.0, "FAIL"),
        (60, 0.10, "INCONCLUSIVE"),
        (60, -0.10, "FAIL"),
    ],
)
def test_both_parts_of_the_gate_have_to_hold(robust: int, change: float, verdict: str) -> None:
    got = judged(robust, 0, [], change, "interval")
    assert got.verdict == verdict
    assert [part.name for part in got.parts] == ["robust accuracy", "regression"]
    if verdict == "PASS":
        assert judged(robust, 0, [severe("POOR_FIT")], change, "interval").verdict == "INCONCLUSIVE"
    if verdict == "INCONCLUSIVE":
        assert got.against_pass[0].split(":")[0] in ("INTERVAL", "REGRESSION")


def test_a_regression_alone_is_a_gate() -> None:
    for change, verdict in ((0.1, "PASS"), (-0.1, "FAIL"), (-0.01, "INCONCLUSIVE")):
        assert judge(0, 0, 100, Gate(max_regression=0.02), [], regression=regressed(change)).verdict == verdict
    assert judge(50, 0, 100, Gate(max_regression=0.02, on="point"), [], regression=regressed(-0.02)).verdict == "PASS"
    assert judge(50, 0, 100, Gate(max_regression=0.02, on="point"), [], regression=regressed(-0.021)).verdict == "FAIL"
    assert judge(50, 0, 100, Gate(), [], regression=regressed(-0.5)).verdict == "NO_GATE"
    assert judge(99, 0, 100, Gate(min_robust_accuracy=0.1, max_regression=0.02), []).verdict == "INCONCLUSIVE"
