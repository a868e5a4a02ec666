"""A detector's thresholds and its curve in every report."""

import io
import json
import re

import pytest
from junitparser import JUnitXml
from rich.console import Console

from robcheck.console import show_result
from robcheck.harness.results import AttackRecord, Estimate, OperatingPoint, RejectionRecord, Result
from robcheck.reports import read_json, render_html, render_json, render_junit, write_reports
from robcheck.reports.curve import curve
from robcheck.reports.detector import curve_words, detector_words, point_lines
from robcheck.reports.drawing import PHONE, WIDE


def _point(share, robust, **more):
    def around(value):
        return Estimate(value=value, interval=(value - 0.05, value + 0.05))

    return OperatingPoint(
        share=share,
        threshold=0.0 if share is None else 10 * share,
        clean_accuracy=around(0.9),
        clean_rejection=around(share or 0.08),
        robust_accuracy=around(robust),
        **more,
    )


def _record(**changes):
    starved = AttackRecord(name="joint (1 % rejected)", attack="pgd", status="starved", reason="<the budget> ran out")
    fields = {
        "deployed": _point(None, 0.4, detection=0.5),
        "points": [
            _point(0.05, 0.45, detection=0.625, held_out_rejection=0.05),
            _point(0.01, 0.25, detection=0.25, held_out_rejection=0.01, not_evaluated=3, attacks=[starved]),
        ],
        "held_out": 300,
        "curve": [(0.0, 0.25), (0.05, 0.25), (0.05, 0.625), (1.0, 0.625), (1.0, 1.0)],
        "area": 0.6064,
        "examples": 16,
        "wrong": 12,
    }
    return RejectionRecord(**{**fields, **changes})


@pytest.fixture
def detecting(make_result):
    return lambda **changes: make_result(rejection=_record(**changes))


def test_json_reads_back_equal(tmp_path, detecting, make_result):
    result = detecting()
    (path,) = write_reports(result, tmp_path, ["json"])
    assert read_json(path) == result
    fields = json.loads(path.read_text())
    assert fields["rejection"]["points"][1]["robust_accuracy"]["value"] == 0.25
    assert fields["rejection"]["curve"][1] == [0.05, 0.25]
    old = json.loads(render_json(make_result()))
    del old["rejection"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert read_json(tmp_path / "old.json") == make_result()


def test_the_page_has_a_row_per_threshold_and_the_curve(detecting):
    text = render_html(detecting()).replace("\u202f", "")
    table = text[text.index('aria-label="Operating points of the detector"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)[1:]
    cells = [
        [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in re.split(r"</t[hd]>", row)[:5]] for row in rows
    ]
    assert [row[0].split(" threshold")[0] for row in cells] == [
        "Deployed",
        "1 % clean rejection",
        "5 % clean rejection",
    ]
    assert [row[1].split()[0] for row in cells] == ["40.0%", "25.0%", "45.0%"]
    assert [row[4] for row in cells] == ["50.0%", "25.0%", "62.5%"]
    assert "rejects 1.0% of the held-out" in cells[1][0]
    assert "3 samples not evaluated" in cells[1][0]
    assert "300 held-out clean samples, none of which is evaluated" in text
    assert "4 of them have none and count as detected" in text
    assert text.count('aria-labelledby="curve') == 2
    assert "&lt;the budget&gt; ran out" in text
    assert "<the budget>" not in text
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_curve_says_what_it_shows(detecting, width):
    drawn = curve(detecting(), width)
    assert drawn.startswith("<svg")
    assert "Area 0.6064. 5 %: 5.0\u202f% rejected, 62.5\u202f% detected; 1 %: 1.0\u202f% rejected" in drawn
    for word in ("deployed", "1 %", "5 %", "clean samples rejected", "adaptive examples detected"):
        assert f">{word}<" in drawn
    assert curve(detecting(curve=[], area=None, curve_missing="no attack"), width) == ""


def test_what_is_missing_is_said(detecting):
    result = detecting(points=[], points_missing="no <held-out> samples", curve=[], area=None, curve_missing="it draws")
    text = render_html(result)
    assert "There are no rows for 1 % and 5 % clean rejection: no &lt;held-out&gt; samples." in text
    assert "There is no curve of the detector: it draws." in text
    assert "Detected" not in text
    assert len(point_lines(result)) == 1


def test_a_target_that_never_rejects_has_no_such_section(make_result):
    result = make_result()
    assert "detector" not in render_html(result)
    assert (point_lines(result), detector_words(result), curve_words(result), curve(result, WIDE)) == ([], "", "", "")
    assert b"detector_area" not in render_junit(result)


def test_junit_properties(detecting):
    (suite,) = JUnitXml.fromfile(io.BytesIO(render_junit(detecting())))
    properties = {p.name: p.value for p in suite.properties()}
    assert float(properties["robust_accuracy_at_1_percent"]) == 0.25
    assert float(properties["clean_rejection_deployed"]) == 0.08
    assert float(properties["robust_accuracy_at_5_percent_high"]) == pytest.approx(0.5)
    assert properties["held_out"] == "300"
    assert float(properties["detector_area"]) == 0.6064


@pytest.mark.parametrize("width", [80, 120])
def test_the_console_shows_the_thresholds(detecting, make_result, width):
    def shown(result: Result) -> str:
        stream = io.StringIO()
        show_result(Console(file=stream, width=width), result)
        return " ".join(stream.getvalue().split())

    text = shown(detecting())
    assert "deployed 90.0% 8.0% 40.0%" in text
    assert "1 % clean rejection 90.0% 1.0% 25.0%" in text
    assert "thresholds from 300 held-out clean samples; area under the curve 0.6064" in text
    assert "(4 of 16 samples were never wrong and count as detected)" in text
    missing = shown(detecting(points=[], points_missing="none given", curve=[], area=None, curve_missing="it draws"))
    assert "no other thresholds: none given; no curve: it draws" in missing
    assert "clean rejection" not in shown(make_result())
