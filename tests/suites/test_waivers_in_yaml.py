"""Waivers in a suite: what is taken, and the sentence that answers anything else."""

from pathlib import Path

import pytest

from robcheck.harness.errors import SuiteError
from robcheck.harness.waivers import VOID
from robcheck.suites import load_suite

GOOD = {"code": "UNBOUNDED_FAILS", "reason": "the head is saturated by design", "expires": "2027-03-31"}


def load(folder: Path, *waivers: dict[str, str]):
    lines = ["name: mine", "attacks: [{attack: pgd}]", "waivers:"]
    lines += ["  - {" + ", ".join(f"{key}: {value}" for key, value in waiver.items()) + "}" for waiver in waivers]
    path = folder / "suite.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_suite(path)


def test_a_waiver_is_read(tmp_path):
    (found,) = load(tmp_path, GOOD).waivers
    assert found.waiver().model_dump() == {**GOOD, "status": "unused"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": "UNBOUNDED_FALS"}, ("waivers[0].code", "did you mean 'UNBOUNDED_FAILS'")),
        ({"code": "NOTHING_LIKE_IT_AT_ALL"}, ("waivers[0].code", "known are", "POOR_FIT")),
        ({"reason": "no"}, ("waivers[0].reason", "10 characters")),
        ({"expires": "tomorrow"}, ("waivers[0].expires", "2027-03-31")),
        ({"expires": "2027-02-30"}, ("waivers[0].expires", "no day")),
        ({"expires": "2027-W01-1"}, ("waivers[0].expires", "no day")),
        ({"until": "2027-01-01"}, ("waivers[0].until", "unknown key", "expires")),
        ({"resaon": "x"}, ("waivers[0].resaon", "did you mean 'reason'")),
    ],
)
def test_what_is_no_waiver(tmp_path, changes, words):
    with pytest.raises(SuiteError) as caught:
        load(tmp_path, {**GOOD, **changes})
    assert str(tmp_path / "suite.yaml") in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("missing", list(GOOD))
def test_everything_is_needed(tmp_path, missing):
    with pytest.raises(SuiteError, match=rf"waivers\[0\]\.{missing}: is missing"):
        load(tmp_path, {key: value for key, value in GOOD.items() if key != missing})


@pytest.mark.parametrize("code", list(VOID))
def test_a_void_run_cannot_be_waived(tmp_path, code):
    with pytest.raises(SuiteError) as caught:
        load(tmp_path, {**GOOD, "code": code})
    assert f"a waiver cannot undo {code}" in str(caught.value)
    assert VOID[code] in str(caught.value)


def test_one_finding_is_waived_once(tmp_path):
    with pytest.raises(SuiteError, match="waivers: UNBOUNDED_FAILS is waived twice"):
        load(tmp_path, GOOD, {**GOOD, "expires": "2028-01-01"})
