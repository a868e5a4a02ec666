"""Each check fires on what it is for, and on nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from robcheck.harness.diagnosis import CHECKS, CONTRACT, Probe, Records, diagnose, examine
from robcheck.harness.diagnosis.clean_accuracy import chance_limit
from robcheck.harness.diagnosis.records import LongSteps
from robcheck.harness.diagnosis.unbounded_fails import Unbounded
from robcheck.harness.gradients.ascent import Ascent
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import AttackRecord


def attack(name: str = "pgd", status: str = "ok", **more: Any) -> AttackRecord:
    return AttackRecord(name=name, attack="pgd", status=status, gradient=more.pop("gradient", "exact"), **more)


HEALTHY = Records(
    samples=100,
    evaluated=100,
    classes=10,
    clean_accuracy=0.9,
    probe=Probe(
        samples=32,
        looks_like="logits",
        parity=1e-6,
        excess=1e-6,
        scale=10.0,
        gradient_samples=32,
        slope_errors=(1e-9,) * 8,
        ascents=(Ascent("exact", samples=16, ascended=16, rise=3.0),),
        used=("exact",),
    ),
    info=ModelInfo(name="m", format="onnx", twin=Twin(available=True, tolerance=1e-3)),
    attacks=[attack()],
    broken=50,
    outcomes={"unbounded": Unbounded(samples=32, survived=0)},
)


def codes(records: Records) -> list[str]:
    return [finding.code for finding in diagnose(records)]


def probed(**changes: Any) -> Records:
    return replace(HEALTHY, probe=replace(HEALTHY.probe, **changes))


def test_a_healthy_run_has_no_findings() -> None:
    assert diagnose(HEALTHY) == []
    assert {finding.severity for finding in examine(HEALTHY.probe, HEALTHY.info) if finding.code != "ACCURACY"} == {
        "ok"
    }


@pytest.mark.parametrize(
    ("records", "code", "severity"),
    [
        (replace(HEALTHY, clean_accuracy=0.1), "CLEAN_ACCURACY", "severe"),
        (probed(nan_outputs=1), "NAN_OUTPUT", "severe"),
        (probed(infinite_outputs=1), "INFINITE_OUTPUT", "warning"),
        (probed(difference=1e-3, random=True), "NONDETERMINISTIC", "warning"),
        (probed(batch_difference=2e-3), "BATCH_DEPENDENT", "severe"),
        (probed(no_gradient="Floor has no gradient", ascents=()), "NO_GRADIENT", "severe"),
        (probed(cut_gradient="it is cut", ascents=()), "NO_GRADIENT", "severe"),
        (probed(gradient_error="it fails"), "GRADIENT_FAILS", "severe"),
        (probed(dead_gradients=4), "ZERO_GRADIENT", "severe"),
        (probed(dead_gradients=1), "ZERO_GRADIENT", "warning"),
        (probed(long_steps=LongSteps(0.4, 0.01, 0.8)), "WRONG_GRADIENT", "severe"),
        (probed(long_steps=LongSteps(0.05, 0.04, 0.2)), "WRONG_GRADIENT", "severe"),
        (probed(long_steps=LongSteps(0.4, 0.01, 0.8), slope_errors=()), "WRONG_GRADIENT", "severe"),
        (probed(slope_errors=(0.3,) * 8, slope_limit=0.2), "WRONG_GRADIENT", "severe"),
        (probed(slope_errors=(0.5,) * 8), "WRONG_GRADIENT", "severe"),
        (probed(slope_errors=(1e-9,) * 7 + (0.5,)), "WRONG_GRADIENT", "severe"),
        (probed(ascents=(Ascent("exact", samples=16, ascended=12, rise=1.0),)), "NOT_ASCENDING", "severe"),
        (probed(ascents=(Ascent("exact", samples=16, error="it fails"),)), "NOT_ASCENDING", "severe"),
        (probed(parity=0.011, excess=0.011), "TWIN_PARITY", "severe"),
        (probed(one_sided_noise="The deployed model"), "TWIN_PARITY", "severe"),
        (probed(twin_error="it answers (3,)"), "TWIN_PARITY", "severe"),
        (probed(twin_disagrees=1), "TWIN_PARITY", "severe"),
        (replace(HEALTHY, attacks=[attack(invalid=1)]), "INVALID_CANDIDATES", "severe"),
        (replace(HEALTHY, blackbox_only=3), "BLACKBOX_BEATS_WHITEBOX", "severe"),
        (replace(HEALTHY, blackbox_only=2), "BLACKBOX_BEATS_WHITEBOX", "warning"),
        (replace(HEALTHY, blackbox_only=3, samples=1000), "BLACKBOX_BEATS_WHITEBOX", "warning"),
        (replace(HEALTHY, blackbox_only=6, samples=1000), "BLACKBOX_BEATS_WHITEBOX", "severe"),
        (replace(HEALTHY, outcomes={"unbounded": Unbounded(samples=32, survived=2)}), "UNBOUNDED_FAILS", "severe"),
        (replace(HEALTHY, attacks=[attack(), attack("a", "crashed", reason="boom")]), "ATTACK_CRASHED", "severe"),
        (replace(HEALTHY, attacks=[attack(), attack("a", "skipped")]), "ATTACK_SKIPPED", "severe"),
        (replace(HEALTHY, attacks=[attack(), attack("a", "starved")]), "BUDGET_EXHAUSTED", "severe"),
        (replace(HEALTHY, attacks=[attack(), attack("a", "interrupted")]), "INTERRUPTED", "severe"),
        (replace(HEALTHY, attacks=[]), "NO_ATTACK", "severe"),
        (replace(HEALTHY, attacks=[attack("a", "not_applicable")]), "NO_ATTACK", "severe"),
    ],
)
def test_fires(records: Records, code: str, severity: str) -> None:
    found = diagnose(records)
    assert [(f.code, f.severity) for f in found] == [(code, severity)]
    finding = found[0]
    assert finding.message.strip()
    assert finding.remedy
    assert len(finding.message.splitlines()) == 1
    if finding.measured is not None and finding.threshold is not None and severity == "severe":
        assert finding.measured != finding.threshold


@pytest.mark.parametrize(
    "records",
    [
        replace(HEALTHY, clean_accuracy=0.31),
        replace(HEALTHY, clean_accuracy=0.0, evaluated=0),
        probed(difference=1e-4),
        probed(batch_difference=1e-3),
        probed(ascents=(Ascent("exact", samples=16, ascended=13, rise=1.0),)),
        probed(ascents=(Ascent("exact", error="cut"), Ascent("bpda", samples=5, ascended=5)), used=("exact", "bpda")),
        probed(ascents=()),
        probed(slope_errors=(), slopes_unchecked="no twin"),
        probed(slope_errors=(1e-9,) * 9 + (0.5,)),
        probed(long_steps=LongSteps(0.44, 0.13, 0.38)),
        probed(long_steps=LongSteps(0.05, 0.04, 0.9), slope_errors=()),
        probed(slope_errors=(0.15,) * 8, slope_limit=0.2),
        probed(gradient_samples=0),
        probed(parity=0.0099, excess=0.0099),
        probed(parity=None),
        probed(parity=0.0, excess=0.0, scale=0.0),
        replace(HEALTHY, outcomes={"unbounded": Unbounded(samples=32, survived=1)}),
        replace(HEALTHY, outcomes={"unbounded": Unbounded(samples=0, survived=0)}),
        replace(HEALTHY, outcomes={}),
        replace(HEALTHY, attacks=[attack(), attack("a", "not_applicable")]),
        replace(HEALTHY, attacks=[attack("a", "idle")]),
    ],
)
def test_does_not_fire(records: Records) -> None:
    assert codes(records) == []


@pytest.mark.parametrize("parity", [float("nan"), float("inf")])
def test_a_twin_that_answers_with_nan_is_no_twin(parity: float) -> None:
    assert codes(probed(parity=parity, excess=parity)) == ["TWIN_PARITY"]


def test_a_random_model_is_no_proof_against_its_batches() -> None:
    """Two draws differ, whoever draws them."""
    assert codes(probed(difference=0.5, random=True, batch_difference=0.5)) == ["NONDETERMINISTIC"]


def test_blackbox_needs_a_gradient_attack_to_beat() -> None:
    alone = [attack("transfer-surrogate", gradient=None), attack("square", gradient=None)]
    records = replace(probed(no_gradient="none", ascents=()), blackbox_only=50, attacks=alone)
    assert codes(records) == ["NO_GRADIENT"]
    crashed = replace(HEALTHY, blackbox_only=50, attacks=[attack(status="crashed"), attack("square", gradient=None)])
    assert set(codes(crashed)) == {"ATTACK_CRASHED", "NO_GRADIENT_ATTACK"}


def test_severe_findings_come_first() -> None:
    records = replace(probed(difference=1.0, random=True, nan_outputs=2), blackbox_only=1, clean_accuracy=0.0)
    severities = [finding.severity for finding in diagnose(records)]
    assert severities == sorted(severities, key=("severe", "warning", "info").index)
    assert len(severities) == 4


def test_failures_are_named_together() -> None:
    attacks = [attack(), attack("a", "crashed", reason="boom"), attack("b", "crashed", reason="boom")]
    (finding,) = diagnose(replace(HEALTHY, attacks=attacks))
    assert "a, b" in finding.message
    assert finding.message.count("boom") == 1
    assert finding.measured == 2


@pytest.mark.parametrize(("classes", "samples"), [(2, 1), (2, 10), (2, 10_000), (3, 50), (10, 100), (1000, 50), (0, 5)])
def test_the_limit_is_above_chance_and_below_perfect(classes: int, samples: int) -> None:
    limit = chance_limit(classes, samples)
    assert 1 / max(classes, 2) <= limit <= 0.95


def test_checks_are_pure() -> None:
    for check in CHECKS:
        assert check.findings(HEALTHY) == check.findings(HEALTHY) == []
        assert (check.judge.__doc__ or "").strip()
    for contract in CONTRACT:
        assert contract(HEALTHY.probe, HEALTHY.info) == contract(HEALTHY.probe, HEALTHY.info)
        assert (contract.__doc__ or "").strip()
