"""What a terminal shows after a run, narrow, wide and without one."""

import io
import math

import pytest
from rich.console import Console

from robcheck.console import make_console, show_result
from robcheck.console.findings import finding_text
from robcheck.console.progress import ProgressBars
from robcheck.harness.results import Finding
from robcheck.harness.trust import CertifiedRecord


def _shown(result, width=120):
    stream = io.StringIO()
    show_result(Console(file=stream, width=width, highlight=False), result)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 84, 120])
def test_every_kind_of_evidence_has_its_line(make_trusted, width):
    text = _shown(make_trusted(), width)
    lines = text.splitlines()
    labels = [line[:16].strip() for line in lines if line[:16].strip() and not line.startswith((" ", "["))]
    for label in (
        "robust accuracy",
        "clean accuracy",
        "8-bit accuracy",
        "certified",
        "power",
        "evidence",
        "controls",
        "baseline",
        "stopping",
        "waivers",
        "cost",
    ):
        assert label in labels, label
    assert lines[-1].startswith("FAIL")
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)
    assert text.isascii()


def test_the_words(make_trusted):
    text = _shown(make_trusted())
    for words in (
        "8-bit accuracy  45.0% (95% interval 23.0% to 68.0%; 7 of 8 breaks hold there)",
        "certified       proven 15.0% <= truth <= attacked 40.0%",
        "power           easy 8 of 8, middle 7 of 8, hard 6 of 8 planted breaks found (one step: 7, 3, 0)",
        "evidence        of 6 standing samples looked at, 5 count as evidence of robustness",
        "controls        standard, 2 of 4 experiments ran, 1 skipped, 1 failed (planted); random broke 1 sample",
        "baseline        small-v1 had 50.0%: -10.0 points (-29.0 to +9.0 points), McNemar p = 0.625",
        "stopping        decided after 20 of 100 samples (2 looks)",
        "waivers         NOT_CONVERGED applied, until 2027-01-31: known since spring",
        "                SAME_ATTACK expired, ended 2025-01-31: old",
        "NOT_CONVERGED (severe) More steps help. [waived: old (until 2027-01-31)]",
        "attacks give an upper bound",
    ):
        assert words in text


def test_what_is_not_there_has_no_line(make_result):
    text = _shown(make_result())
    for label in ("8-bit", "certified", "power", "evidence", "controls", "baseline", "stopping", "waivers"):
        assert f"\n{label}" not in text
    assert "switched off" in _shown(make_result(controls_level="none"))


def test_the_grid_as_the_headline(make_trusted):
    result = make_trusted()
    result.threat = result.threat.model_copy(update={"pixel_grid": "8bit"})
    text = _shown(result)
    assert "(worst case over all attacks on the 8-bit pixel grid; 95% interval" in text
    assert "8-bit accuracy" not in text


def test_markup_in_names_is_not_obeyed(make_trusted):
    result = make_trusted(findings=[Finding(code="X", severity="info", message="[bold]loud[/bold]")])
    result.waivers[0].reason = "[red]no[/red]"
    result.controls[3].name = "[/nothing]"
    text = _shown(result)
    assert "[bold]loud[/bold]" in text
    assert "[red]no[/red]" in text
    assert "failed ([/nothing])" in text


def test_extremes(make_trusted):
    nan = math.nan
    result = make_trusted(
        samples=[], robust_accuracy=nan, interval=(nan, nan), certified=CertifiedRecord(accuracy=nan, samples=0)
    )
    assert "0 forward" not in _shown(result)
    assert "nan%" in _shown(result)


def test_a_finding_says_what_to_do():
    text = finding_text(Finding(code="A", severity="severe", message="Seen.", remedy="Do."))
    assert text.plain == "A (severe) Seen. Do."
    assert finding_text(Finding(code="A", severity="info", message="Seen.")).plain == "A (info) Seen."


def test_a_control_has_a_bar_without_numbers():
    bars = ProgressBars(Console(file=io.StringIO(), force_terminal=True, width=100))
    bars.started("control: unbounded", 0, 0)
    (task,) = bars.bars.tasks
    assert task.total is None
    assert task.fields["samples"] == ""
    bars.started("pgd", 12, 40)
    (task,) = bars.bars.tasks
    assert (task.total, task.fields["samples"]) == (40, "12 samples")


@pytest.mark.parametrize("width", [80, 84, 120])
def test_an_attack_is_one_line(make_result, width):
    stream = io.StringIO()
    record = make_result().attacks[0].model_copy(update={"forward": 9_999_999, "attempted": 10_000})
    ProgressBars(Console(file=stream, width=width)).finished(record)
    assert stream.getvalue().count("\n") == 1
    assert "broke     8 of 10,000   worst case  40.0%" in stream.getvalue()
    assert ("2.5 s" in stream.getvalue()) == (width == 120)


def test_quiet_prints_nothing(capsys, make_trusted):
    show_result(make_console(quiet=True), make_trusted())
    assert capsys.readouterr().out == ""
