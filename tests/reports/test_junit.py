import io
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml

from robcheck.harness.results import Finding, Gate, GatePart, RegressionRecord, SequentialRecord, Waiver
from robcheck.reports import render_junit
from robcheck.reports.caveat import SAMPLING, UPPER_BOUND


def _suite(result):
    document = JUnitXml.fromfile(io.BytesIO(render_junit(result)))
    (suite,) = document
    return suite


def _kinds(result):
    return {case.name: [type(entry).__name__ for entry in case.result] for case in _suite(result)}


def test_one_suite_with_the_gate_and_every_attack(make_result):
    suite = _suite(make_result())
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 1, 3, 1)
    assert _kinds(make_result()) == {
        "robust accuracy": ["Failure"],
        "MASKED": ["Error"],
        "apgd-ce": [],
        "square": [],
        "transfer": ["Skipped"],
        "fab": ["Error"],
        "boundary": ["Error"],
    }


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [("PASS", []), ("FAIL", ["Failure"]), ("INCONCLUSIVE", ["Error"]), ("NO_GATE", ["Skipped"])],
)
def test_the_gate_case_follows_the_verdict(make_result, verdict, kind):
    assert _kinds(make_result(verdict=verdict))["robust accuracy"] == kind


def test_the_explanation_and_the_reasons_are_the_text(make_result):
    cases = {case.name: case for case in _suite(make_result(verdict="INCONCLUSIVE"))}
    (error,) = cases["robust accuracy"].result
    assert error.message == "The number is below the gate."
    assert error.text.startswith("The number is below the gate.")
    assert "- fab crashed." in error.text
    assert cases["transfer"].result[0].message == "no surrogate was given"
    assert cases["fab"].result[0].message == "out of memory at batch 3"


def test_the_headline_numbers_are_properties(make_result):
    properties = {p.name: p.value for p in _suite(make_result()).properties()}
    assert properties["robust_accuracy"] == "0.4"
    assert properties["interval_low"] == "0.191"
    assert properties["gate"] == "0.7"
    assert float(properties["epsilon"]) == 8 / 255


def test_hostile_text_stays_well_formed(make_result):
    result = make_result(explanation="]]> <a> & \x00\x1b[31m \ud83d".encode("utf-8", "replace").decode())
    result.attacks[0].name = "\x07<script>"
    root = ElementTree.fromstring(render_junit(result))
    assert root.find(".//failure").text.startswith("]]> <a> & \ufffd\ufffd[31m")


def test_no_attacks_is_one_case(make_result):
    assert list(_kinds(make_result(attacks=[], findings=[]))) == ["robust accuracy"]


def test_every_part_of_the_gate_is_a_case(make_result):
    parts = [
        GatePart(name="robust accuracy", state="holds", text="It holds."),
        GatePart(name="regression", state="fails", text="It is a loss."),
    ]
    cases = {case.name: case for case in _suite(make_result(gate_parts=parts, findings=[], attacks=[]))}
    assert list(cases) == ["robust accuracy", "regression"]
    assert [type(entry).__name__ for entry in cases["regression"].result] == ["Failure"]
    assert cases["regression"].result[0].message == "It is a loss."
    parts[1].state = "open"
    assert _kinds(make_result(gate_parts=parts))["regression"] == ["Error"]
    parts[1].state = "holds"
    assert _kinds(make_result(gate_parts=parts))["regression"] == []


def test_a_waived_finding_is_no_error_and_is_seen(make_result):
    finding = Finding(code="MASKED", severity="severe", message="Masked.", waived="we know (until 2027-01-01)")
    waiver = Waiver(code="MASKED", reason="we know", expires="2027-01-01", status="applied")
    suite = _suite(make_result(findings=[finding], waivers=[waiver], attacks=[]))
    cases = {case.name: case for case in suite}
    (skipped,) = cases["MASKED"].result
    assert (type(skipped).__name__, skipped.message) == ("Skipped", "waived: we know (until 2027-01-01)")
    assert {p.name: p.value for p in suite.properties()}["waiver_MASKED"] == "applied, until 2027-01-01: we know"


def test_the_change_and_the_looks_are_properties(make_result):
    change = RegressionRecord(
        baseline="old",
        samples=20,
        before=0.5,
        after=0.4,
        only_before=2,
        only_after=0,
        p=0.5,
        interval=(-0.3, 0.1),
        change=(-0.1, -0.1),
    )
    looks = SequentialRecord(method="a martingale", looked=[8, 20], of=40, decided=True)
    suite = _suite(make_result(regression=change, sequential=looks, gate=Gate(max_regression=0.02)))
    properties = {p.name: p.value for p in suite.properties()}
    assert properties["baseline_robust_accuracy"] == "0.5"
    assert (properties["change_low"], properties["change_high"]) == ("-0.3", "0.1")
    assert (properties["max_regression"], properties["samples_taken"]) == ("0.02", "20")


def test_the_gate_case_says_what_the_interval_speaks_of(make_result):
    for changes, name in (
        ({}, "Clopper-Pearson"),
        ({"stochastic": True}, "a bootstrap over samples"),
        ({"sequential": SequentialRecord(method="a martingale", looked=[8], of=40, decided=True)}, "a martingale"),
    ):
        cases = {case.name: case for case in _suite(make_result(verdict="PASS", **changes))}
        said = cases["robust accuracy"].system_out
        assert UPPER_BOUND in said
        assert SAMPLING in said
        assert said.endswith(f"It is {name}.")
