"""The result as JUnit XML: one case for the gate, one per attack."""

import io
import math

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ..harness.results import AttackRecord, Result
from .draws import draw_lines
from .wording import (
    clean,
    count,
    gate,
    held_against,
    interval,
    percent,
)

GATE_CASE = "robust accuracy"


def render_junit(result: Result) -> bytes:
    """One suite whose gate case fails on FAIL and is an error on INCONCLUSIVE; crashed attacks are errors too."""
    suite = TestSuite(clean(f"robcheck {result.suite}"))
    suite.timestamp = clean(result.created)
    for name, value in _headline(result).items():
        suite.add_property(name, clean(value))
    suite.add_testcases([_gate_case(result), *(_attack_case(record) for record in result.attacks)])
    document = JUnitXml("robcheck")
    document.add_testsuite(suite)
    for name in ("tests", "failures", "errors", "skipped", "time"):
        setattr(document, name, getattr(suite, name))
    stream = io.BytesIO()
    document.write(stream, pretty=True)
    return stream.getvalue()


def _headline(result: Result) -> dict[str, str]:
    gated = result.gate.min_robust_accuracy
    return (
        {
            "verdict": result.verdict,
            "complete": str(result.complete).lower(),
            "model": result.model.name,
            "model_sha256": result.model.sha256 or "",
            "data": result.data.name,
            "data_sha256": result.data.sha256,
            "samples": str(result.data.samples),
            "clean_accuracy": repr(result.clean_accuracy),
            "robust_accuracy": repr(result.robust_accuracy),
            "interval_low": repr(result.interval[0]),
            "interval_high": repr(result.interval[1]),
            "confidence": repr(result.gate.confidence),
            "gate": "" if gated is None else repr(gated),
            "norm": result.threat.norm,
            "epsilon": "" if result.threat.epsilon is None else repr(result.threat.epsilon),
            "seed": str(result.seed),
            "schema_version": str(result.schema_version),
        }
        | _draws(result)
        | _detector(result)
    )


def _draws(result: Result) -> dict[str, str]:
    report = result.stochastic_report
    if report is None:
        return {}
    numbers = {"decision_rule": report.rule, "scoring_draws": str(report.draws)}
    for line in draw_lines(result):
        for name, estimate in (("clean", line.clean), ("robust", line.robust)):
            numbers[f"{name}_{line.key}"] = repr(estimate.value)
            numbers[f"{name}_{line.key}_low"] = repr(estimate.interval[0])
            numbers[f"{name}_{line.key}_high"] = repr(estimate.interval[1])
    return numbers


def _detector(result: Result) -> dict[str, str]:
    record = result.rejection
    if record is None:
        return {}
    numbers = {"held_out": str(record.held_out), "detector_area": "" if record.area is None else repr(record.area)}
    for point in (record.deployed, *record.points):
        where = "deployed" if point.share is None else f"at_{100 * point.share:g}_percent"
        for name in ("clean_accuracy", "clean_rejection", "robust_accuracy"):
            estimate = getattr(point, name)
            numbers[f"{name}_{where}"] = repr(estimate.value)
            numbers[f"{name}_{where}_low"] = repr(estimate.interval[0])
            numbers[f"{name}_{where}_high"] = repr(estimate.interval[1])
    return numbers


def _gate_case(result: Result) -> TestCase:
    case = TestCase(GATE_CASE, "robcheck.gate", 0.0)
    numbers = (
        f"Worst-case robust accuracy {percent(result.robust_accuracy)} ({interval(result.interval)}), "
        f"clean accuracy {percent(result.clean_accuracy)}, {count(result.data.samples)} samples; "
        f"{gate(result.gate)}, {held_against(result.gate)}."
    )
    standing = [f"- {reason}" for reason in result.against_pass]
    text = clean("\n".join([result.explanation, numbers, *standing]))
    outcomes = {"FAIL": Failure, "INCONCLUSIVE": Error, "NO_GATE": Skipped}
    if result.verdict in outcomes:
        outcome = outcomes[result.verdict](clean(result.explanation or numbers), f"robcheck.{result.verdict}")
        outcome.text = text
        case.result = [outcome]
    else:
        case.system_out = text
    return case


def _attack_case(record: AttackRecord) -> TestCase:
    seconds = record.seconds if math.isfinite(record.seconds) else 0.0
    case = TestCase(clean(record.name), "robcheck.attack", seconds)
    reason = clean(record.reason or f"the attack {record.status}")
    if record.status == "skipped":
        case.result = [Skipped(reason, "robcheck.skipped")]
    elif record.status in {"crashed", "starved", "interrupted"}:
        error = Error(reason, f"robcheck.{record.status}")
        error.text = reason
        case.result = [error]
    case.system_out = (
        f"{record.status}: attempted {count(record.attempted)}, broke {count(record.broken)}, "
        f"robust accuracy after it {percent(record.robust_accuracy)}"
    )
    return case
