"""The checks that set attacks against each other, on outcomes made by hand: both sides of every limit."""

from dataclasses import replace
from typing import Any

import pytest

from robcheck.harness.diagnosis import Records, diagnose
from robcheck.harness.diagnosis.adaptive_weaker import Generic
from robcheck.harness.diagnosis.attack_broken import Sibling
from robcheck.harness.diagnosis.eot_broken import Frozenness
from robcheck.harness.diagnosis.more import Variant, Variants
from robcheck.harness.diagnosis.not_converged import Doubling, Doublings
from robcheck.harness.diagnosis.one_step_beats_iter import OneStep
from robcheck.harness.diagnosis.records import Probe
from robcheck.harness.diagnosis.targeted_stronger import Targeted
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import AttackRecord

MINE = {
    "ONE_STEP_BEATS_ITER",
    "NOT_CONVERGED",
    "ADAPTIVE_WEAKER",
    "EOT_BROKEN",
    "ATTACK_BROKEN",
    "SIBLING_RESISTS",
    "TARGETED_STRONGER",
    "LOSS_SENSITIVE",
    "HPARAM_SENSITIVE",
    "SAME_ATTACK",
}
BASE = Records(
    samples=100,
    evaluated=100,
    classes=10,
    clean_accuracy=0.9,
    probe=Probe(),
    info=ModelInfo(name="m", format="torch", twin=Twin(available=True)),
    attacks=[AttackRecord(name="pgd", attack="pgd", status="ok")],
)


def found(**outcomes: Any) -> list[tuple[str, str]]:
    return judged(replace(BASE, outcomes=outcomes))


def judged(records: Records) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in diagnose(records) if f.code in MINE]


def one_step(only_one_step: int, only_iterated: int) -> OneStep:
    return OneStep(32, 10 + only_one_step, 10 + only_iterated, only_one_step, only_iterated)


@pytest.mark.parametrize(("one", "many", "raised"), [(8, 0, True), (7, 0, False), (9, 2, False), (0, 20, False)])
def test_one_step_has_to_be_ahead_by_more_than_chance(one: int, many: int, raised: bool) -> None:
    # Exact McNemar by hand: 2 * 2^-8 = 0.0078, 2 * 2^-7 = 0.0156, 2 * (1 + 11 + 55) / 2^11 = 0.0654.
    assert found(one_step=one_step(one, many)) == ([("ONE_STEP_BEATS_ITER", "severe")] if raised else [])


def test_many_comparisons_make_each_of_them_harder_to_believe() -> None:
    others = {f"other {i}": Targeted(32, 9, 0, 0, 0, 0) for i in range(3)}
    assert found(one_step=one_step(8, 0), **others) == []
    assert found(one_step=one_step(10, 0), **others) == [("ONE_STEP_BEATS_ITER", "severe")]


def doublings(*runs: tuple[int, float], climb: float = 0.0, **more: Any) -> Doublings:
    steps = tuple(Doubling(20 << number, fell, rise) for number, (fell, rise) in enumerate(runs))
    given: dict[str, Any] = {"again": 0, "everyone": False, "standing": 80, "of": 100, **more}
    return Doublings(attack="pgd", steps=10, samples=32, runs=steps, climb=climb, **given)


@pytest.mark.parametrize(
    ("outcome", "severity"),
    [
        (doublings((0, 0.0)), None),
        (doublings((0, 0.009), climb=0.009), None),
        (doublings((0, 0.02), (0, 0.0), climb=0.02), "warning"),
        (doublings((0, 0.02), (0, 0.02), (0, 0.02), climb=0.06), "severe"),
        (doublings((0, 0.04), (0, 0.02), (0, 0.0), climb=0.06), "severe"),
        # One sample of 32 says little; it counts, and so do others like it where everyone was attacked so long.
        (doublings((1, 0.0), (0, 0.0)), "warning"),
        (doublings((4, 0.0), (0, 0.0), everyone=True), "warning"),
        (doublings((4, 0.0), (0, 0.0), everyone=False), "severe"),
        (doublings((4, 0.0), (0, 0.0), everyone=False, standing=32, of=10_000), None),
        # The last doubling still breaks.
        (doublings((0, 0.0), (0, 0.0), (3, 0.0), everyone=True), "severe"),
        (doublings((0, 0.0), (0, 0.0), (2, 0.0), everyone=True), "warning"),
        (doublings((0, 0.0), (0, 0.0), (4, 0.0), everyone=True, again=2), "warning"),
        # As many starts more are no steps more, and count like them.
        (doublings((0, 0.0), again=2), "warning"),
        (doublings((0, 0.0), again=3), "severe"),
        (doublings((0, 0.0), again=3, everyone=True), "warning"),
        # Everything that was looked at fell at once.
        (doublings(again=32), "severe"),
        (doublings(again=32, standing=32, of=10_000), None),
        (doublings(again=3, everyone=True), "warning"),
    ],
)
def test_not_converged(outcome: Doublings, severity: str | None) -> None:
    assert found(steps=outcome) == ([] if severity is None else [("NOT_CONVERGED", severity)])


def test_a_doubling_settles_by_both_numbers() -> None:
    assert doublings((0, 0.01)).settled
    assert not doublings((0, 0.011)).settled
    assert not doublings((1, 0.0)).settled
    assert doublings((1, 0.0), again=1).settled
    assert doublings((1, 0.0), standing=32, of=1000).settled


def generic(only_generic: int, only_again: int = 0, standing: int = 80) -> Generic:
    return Generic("PGD", 32, standing, 100, only_generic, only_again, only_generic, only_again)


@pytest.mark.parametrize(
    ("outcome", "severity"),
    [
        (generic(0), None),
        (generic(2), "warning"),
        (generic(3), "severe"),
        (generic(3, standing=20), "warning"),
        (generic(9, standing=2), "severe"),
        (generic(5, only_again=5), None),
        (generic(0, only_again=9), None),
    ],
)
def test_adaptive_weaker(outcome: Generic, severity: str | None) -> None:
    assert found(generic=outcome) == ([] if severity is None else [("ADAPTIVE_WEAKER", severity)])


def frozen(frozen: int, random: int, bare: int | None) -> Frozenness:
    return Frozenness(32, frozen, random, bare, max(0, random - frozen), max(0, frozen - random))


@pytest.mark.parametrize(
    ("outcome", "severity"),
    [
        (frozen(30, 20, 32), None),
        (frozen(28, 20, 32), "warning"),
        (frozen(0, 0, 0), None),
        (frozen(5, 5, None), None),
        (frozen(10, 18, None), "severe"),
        (frozen(10, 17, None), None),
    ],
)
def test_eot_broken(outcome: Frozenness, severity: str | None) -> None:
    assert found(frozen=outcome) == ([] if severity is None else [("EOT_BROKEN", severity)])


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Sibling(32, bare=32, defended=4, unbounded=None), []),
        (Sibling(32, bare=20, defended=20, unbounded=32), [("SIBLING_RESISTS", "info")]),
        (Sibling(32, bare=20, defended=20, unbounded=31), [("SIBLING_RESISTS", "info")]),
        (Sibling(32, bare=0, defended=0, unbounded=30), [("ATTACK_BROKEN", "severe")]),
        (Sibling(32, bare=20, defended=20, unbounded=None), [("SIBLING_RESISTS", "info")]),
    ],
)
def test_attack_broken(outcome: Sibling, expected: list[tuple[str, str]]) -> None:
    assert found(sibling=outcome) == expected


@pytest.mark.parametrize(("alone", "raised"), [(8, True), (7, False), (0, False)])
def test_targeted_stronger(alone: int, raised: bool) -> None:
    outcome = Targeted(32, 9, alone, 0, alone, 0)
    assert found(targets=outcome) == ([("TARGETED_STRONGER", "warning")] if raised else [])


def variants(*each: tuple[int, float], standing: int = 80) -> Variants:
    return Variants(
        32, standing, 100, 1, tuple(Variant(f"v{i}", 1 + lead, lead, c) for i, (lead, c) in enumerate(each))
    )


@pytest.mark.parametrize(
    ("outcome", "loss", "setting"),
    [
        (variants(), None, None),
        (variants((0, 0.0), (-3, 0.0)), None, None),
        (variants((2, 0.04)), None, None),
        (variants((3, 0.0)), "severe", "severe"),
        (variants((3, 0.0), standing=48), "warning", "warning"),
        (variants((3, 0.0), standing=20), None, "warning"),
        (variants((0, 0.06)), "warning", "warning"),
        (variants((3, 0.0), (0, 0.26), standing=20), "severe", "severe"),
    ],
)
def test_sensitive(outcome: Variants, loss: str | None, setting: str | None) -> None:
    assert found(losses=outcome) == ([] if loss is None else [("LOSS_SENSITIVE", loss)])
    assert found(settings=outcome) == ([] if setting is None else [("HPARAM_SENSITIVE", setting)])


def test_the_finding_names_what_it_was_raised_for() -> None:
    records = replace(BASE, outcomes={"settings": variants((3, 0.0), (0, 0.3), standing=20)})
    finding = next(f for f in diagnose(records) if f.code == "HPARAM_SENSITIVE")
    assert "v1 climbs 30% higher" in finding.message
    assert (finding.measured, finding.threshold) == (0.3, 0.25)
    records = replace(BASE, outcomes={"settings": variants((4, 0.0), (0, 0.0))})
    finding = next(f for f in diagnose(records) if f.code == "HPARAM_SENSITIVE")
    assert "v0 breaks 4 of 32" in finding.message
    assert finding.measured == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("trained", "attacks", "raised"),
    [
        ("", {"pgd": "ok"}, False),
        ("fgsm", {"pgd": "ok"}, False),
        ("pgd", {"pgd": "ok"}, True),
        ("pgd", {"pgd": "ok", "apgd": "ok"}, False),
        ("pgd", {"pgd": "ok", "apgd": "crashed"}, True),
        ("pgd", {"pgd": "ok", "controls": "ok"}, True),
        ("pgd", {"pgd": "ok", "apgd": "not_applicable"}, True),
        ("pgd", {}, False),
    ],
)
def test_same_attack(trained: str, attacks: dict[str, Any], raised: bool) -> None:
    ran = [AttackRecord(name=name, attack=name, status=status) for name, status in attacks.items()]
    expected = [("SAME_ATTACK", "severe")] if raised else []
    assert judged(replace(BASE, trained_with=trained, attacks=ran)) == expected
