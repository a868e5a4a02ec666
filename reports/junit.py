"""The result as JUnit XML: a case for the gate and each of its parts, one per severe finding, one per attack."""

import io
import math

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ..harness.results import AttackRecord, Finding, GatePart, Result
from .caveat import caveat
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
    """One suite whose gate case fails on FAIL and is an error on INCONCLUSIVE; crashed attacks are errors too.

    A severe finding is an error while it stands against a PASS, and skipped with its reason where it is waived.
    """
    suite = TestSuite(clean(f"robcheck {result.suite}"))
    suite.timestamp = clean(result.created)
    for name, value in _headline(result).items():
        suite.add_property(name, clean(value))
    parts = [_part_case(part) for part in result.gate_parts if part.name != GATE_CASE]
    findings = [_finding_case(finding) for finding in result.findings if finding.severity == "severe"]
    suite.add_testcases([_gate_case(result), *parts, *findings, *(_attack_case(record) for record in result.attacks)])
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
        | _beside(result)
        | _draws(result)
        | _detector(result)
    )


def _beside(result: Result) -> dict[str, str]:
    """The change against a baseline, the looks of a run that might stop, and waivers with what came of them."""
    numbers = {f"waiver_{w.code}": f"{w.status}, until {w.expires}: {w.reason}" for w in result.waivers}
    if result.gate.max_regression is not None:
        numbers["max_regression"] = repr(result.gate.max_regression)
    if result.sequential is not None:
        numbers["samples_taken"] = str(result.sequential.looked[-1] if result.sequential.looked else 0)
    if result.regression is None:
        return numbers
    change = result.regression
    return numbers | {
        "baseline_robust_accuracy": repr(change.before),
        "change": repr(change.after - change.before),
        "change_low": repr(change.interval[0]),
        "change_high": repr(change.interval[1]),
        "change_p": repr(change.p),
    }


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
    text = clean("\n".join([result.explanation, numbers, *standing, caveat(result)]))
    outcomes = {"FAIL": Failure, "INCONCLUSIVE": Error, "NO_GATE": Skipped}
    if result.verdict in outcomes:
        outcome = outcomes[result.verdict](clean(result.explanation or numbers), f"robcheck.{result.verdict}")
        outcome.text = text
        case.result = [outcome]
    else:
        case.system_out = text
    return case


def _part_case(part: GatePart) -> TestCase:
    """One question of the gate, by its numbers alone."""
    case = TestCase(part.name, "robcheck.gate", 0.0)
    outcomes = {"fails": Failure, "open": Error}
    if part.state in outcomes:
        case.result = [outcomes[part.state](clean(part.text), f"robcheck.{part.name}")]
    case.system_out = clean(part.text)
    return case


def _finding_case(finding: Finding) -> TestCase:
    case = TestCase(clean(finding.code), "robcheck.finding", 0.0)
    said = clean(f"{finding.message} {finding.remedy}".rstrip())
    if finding.waived:
        case.result = [Skipped(clean(f"waived: {finding.waived}"), "robcheck.waived")]
        case.system_out = said
    else:
        error = Error(clean(finding.message), f"robcheck.{clean(finding.code)}")
        error.text = said
        case.result = [error]
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
