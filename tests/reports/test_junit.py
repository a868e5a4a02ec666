import io
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml

from robcheck.reports import render_junit


def _suite(result):
    document = JUnitXml.fromfile(io.BytesIO(render_junit(result)))
    (suite,) = document
    return suite


def _kinds(result):
    return {case.name: [type(entry).__name__ for entry in case.result] for case in _suite(result)}


def test_one_suite_with_the_gate_and_every_attack(make_result):
    suite = _suite(make_result())
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (6, 1, 2, 1)
    assert _kinds(make_result()) == {
        "robust accuracy": ["Failure"],
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
    assert list(_kinds(make_result(attacks=[]))) == ["robust accuracy"]
