"""Two results side by side: tables counted by hand, tests against scipy, and everything that cannot be compared."""

from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from robcheck.harness.comparing import Compared, attack_changes, changes, compare
from robcheck.harness.errors import UsageError
from robcheck.harness.model_info import ModelInfo
from robcheck.harness.results import (
    AttackRecord,
    DataRecord,
    Environment,
    Finding,
    Gate,
    PlanEntry,
    Result,
    SampleRecord,
    SequentialRecord,
    ThreatRecord,
)

THREAT = ThreatRecord(norm="linf", epsilon=0.1)
DATA = DataRecord(name="d", samples=0, sha256="ab")
WORDS = {"s": "survived", "e": "clean_error", "?": "not_evaluated"}


def result(outcomes: str, **more: Any) -> Result:
    """One letter per sample: s survived, e wrong when clean, ? not evaluated, a digit: broken by attack a<digit>."""
    samples = [
        SampleRecord(
            id=10 + i,
            label=0,
            outcome=WORDS.get(letter, "broken"),  # type: ignore[arg-type]
            clean_prediction=0,
            broken_by=None if letter in WORDS else f"a{letter}",
        )
        for i, letter in enumerate(outcomes)
    ]
    ran = [AttackRecord(name=f"a{i}", attack="pgd", status="ok", robust_accuracy=0.5) for i in range(3)]
    fields: dict[str, Any] = {
        "verdict": "NO_GATE",
        "clean_accuracy": 0.9,
        "robust_accuracy": outcomes.count("s") / len(outcomes),
        "interval": (0.0, 1.0),
        "model": ModelInfo(name="m", format="torch"),
        "data": DATA,
        "threat": THREAT,
        "gate": Gate(),
        "suite": "tiny",
        "samples": samples,
        "attacks": ran,
        "environment": Environment(robcheck="1", python="3", platform="p"),
    }
    return Result(**(fields | more))


def compared(old: Result, new: Result, allowed: float | None = None, on: str = "interval") -> Compared:
    return compare(old, new, Gate(max_regression=allowed, on=on))  # type: ignore[arg-type]


def test_tables_and_names() -> None:
    found = compared(result("ssss00ee"), result("s01ess0s"))
    robust, clean = found.robust, found.clean
    assert robust.table.model_dump() == {"both": 1, "only_before": 3, "only_after": 3, "neither": 1}
    assert clean.table.model_dump() == {"both": 5, "only_before": 1, "only_after": 2, "neither": 0}
    assert (robust.change.before, robust.change.after) == (0.5, 0.5)
    assert (clean.change.before, clean.change.after) == (0.75, 0.875)
    assert found.lost == [11, 12, 13]
    assert found.won == [14, 15, 17]
    assert clean.change.p == pytest.approx(stats.binomtest(1, 3).pvalue)
    assert found.verdict == "NO_GATE"


def test_a_loss_is_held_against_its_limit() -> None:
    before = result("s" * 200)
    assert compared(before, result("s" * 200), 0.05).verdict == "PASS"
    assert compared(before, result("s" * 170 + "0" * 30), 0.05).verdict == "FAIL"
    assert compared(before, result("s" * 190 + "0" * 10), 0.05).verdict == "INCONCLUSIVE"
    assert compared(before, result("s" * 190 + "0" * 10), 0.05, "point").verdict == "PASS"
    assert compared(before, result("s" * 189 + "0" * 11), 0.05, "point").verdict == "FAIL"
    assert compared(result("0" * 200), before, 0.0).verdict == "PASS"


def test_unknown_samples_are_at_their_worst_for_either_side() -> None:
    """Not evaluated, hence perhaps lost; but not surely, hence no FAIL."""
    found = compared(result("s" * 200), result("s" * 170 + "?" * 30), 0.05)
    assert found.verdict == "INCONCLUSIVE"
    assert found.robust.change.change == pytest.approx((-0.15, 0.0))
    assert compared(result("s" * 170 + "?" * 30), result("s" * 170 + "0" * 30), 0.05).verdict == "INCONCLUSIVE"


def test_what_stands_against_the_new_run_stands_against_a_pass() -> None:
    old, reasons = result("s" * 300), ["INTERVAL: it is open.", "ATTACK_CRASHED: fab."]
    found = compared(old, result("s" * 300, against_pass=reasons), 0.05)
    assert (found.verdict, found.against_pass) == ("INCONCLUSIVE", ["ATTACK_CRASHED: fab."])
    assert compared(old, result("s" * 300, against_pass=reasons[:1]), 0.05).verdict == "PASS"
    assert compared(result("s" * 300, against_pass=reasons), old, 0.05).verdict == "PASS"
    assert compared(old, result("0" * 300, against_pass=reasons), 0.05).verdict == "FAIL"


def test_attack_by_attack() -> None:
    old, new = result("ssssssss01"), result("0000000s12")
    rows = {row.name: row for row in attack_changes(old, new)}
    # After a0 nine stand before and three after; a1 leaves eight and two; a2 eight and one.
    p = {name: stats.binomtest(k, n).pvalue for name, k, n in (("a0", 1, 8), ("a1", 1, 8), ("a2", 0, 7))}
    assert {name: row.p for name, row in rows.items()} == pytest.approx(p)
    smallest = min(p, key=lambda name: p[name])
    assert rows[smallest].adjusted == pytest.approx(3 * p[smallest])
    new.attacks.append(AttackRecord(name="new", attack="fab", status="ok", robust_accuracy=0.1))
    row = attack_changes(old, new)[-1]
    assert (row.before, row.after, row.p) == (None, 0.1, None)


def test_rates_of_random_targets() -> None:
    old, new = result("s" * 100, stochastic=True), result("s" * 100, stochastic=True)
    for a, b in zip(old.samples, new.samples, strict=True):
        a.correct_rate, b.correct_rate = 0.9, 0.8
    found = compared(old, new, 0.05)
    assert found.robust.change.after - found.robust.change.before == pytest.approx(-0.1)
    assert found.robust.change.p == 1.0
    assert found.verdict == "FAIL"
    assert [row.p for row in found.attacks] == [None] * 3


def test_what_else_changed() -> None:
    entry = PlanEntry(name="a0", attack="pgd", parameters={"steps": 10}, gradient="exact")
    new = entry.model_copy(update={"parameters": {"steps": 20}, "reason": "other words"})
    finding = Finding(code="POOR_FIT", severity="severe", message="m")
    a = result("ss", plan=[entry], environment=Environment(robcheck="1", python="3", platform="p", packages={"x": "1"}))
    b = result("ss", plan=[new, PlanEntry(name="a9", attack="fab")], seed=4, findings=[finding])
    found = {change.what: (change.before, change.after) for change in changes(a, b)}
    assert found == {
        "seed": ("0", "4"),
        "x": ("1", "-"),
        "plan: a0": ("steps 10", "steps 20"),
        "plan: a9": ("not there", "in the plan"),
        "finding POOR_FIT": ("-", "severe"),
    }
    assert changes(a, a) == []


def other_ids(found: Result) -> Result:
    for sample in found.samples:
        sample.id += 1
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda r: r.model_copy(update={"threat": THREAT.model_copy(update={"epsilon": 0.2})}),
            "epsilon 0.1 against 0.2",
        ),
        (lambda r: r.model_copy(update={"threat": THREAT.model_copy(update={"pixel_grid": "8bit"})}), "pixel_grid"),
        (lambda r: r.model_copy(update={"data": DATA.model_copy(update={"sha256": "cd"})}), "other samples"),
        (lambda r: r.model_copy(update={"samples": r.samples[:2]}), "other samples"),
        (lambda r: r.model_copy(update={"samples": r.samples[::-1]}), "other samples"),
        (other_ids, "other samples"),
        (lambda r: r.model_copy(update={"samples": []}), "no sample in common"),
        (lambda r: r.model_copy(update={"complete": False}), "interrupted"),
        (
            lambda r: r.model_copy(update={"sequential": SequentialRecord(method="m", looked=[2], of=3, decided=True)}),
            "--stop-when-decided",
        ),
    ],
)
def test_what_cannot_be_compared(change: Callable[[Result], Result], words: str) -> None:
    old, new = result("s01"), change(result("s01"))
    for pair in ((old, new), (new, old)):
        with pytest.raises(UsageError) as caught:
            compare(*pair, Gate())
        assert words in str(caught.value) or "0.2 against 0.1" in str(caught.value)


def test_without_a_hash_nothing_says_that_the_samples_are_the_same() -> None:
    bare = DATA.model_copy(update={"sha256": ""})
    with pytest.raises(UsageError, match="other samples"):
        compare(result("s", data=bare), result("s", data=bare), Gate())
