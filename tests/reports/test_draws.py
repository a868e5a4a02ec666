"""A random target's accuracies in every report."""

import io
import json
import re

import pytest
from junitparser import JUnitXml
from rich.console import Console

from robcheck.console import show_result
from robcheck.harness.results import Result
from robcheck.harness.stochastic import stochastic_record
from robcheck.reports import read_json, render_html, render_json, render_junit, write_reports
from robcheck.reports.draws import draw_lines, draw_words

CLEAN = [1.0] * 15 + [0.99, 0.98, 0.6, 0.5, 0.0]
ROBUST = [1.0] * 5 + [0.9] * 5 + [0.4] * 10


def drawn(make_result, rule="single", **changes):
    record = stochastic_record(CLEAN, ROBUST, samples=20, draws=100, rule=rule, confidence=0.95)
    headline = record.robust.expectation
    fields = {"stochastic": True, "stochastic_report": record, "clean_accuracy": record.clean.expectation.value}
    return make_result(**fields, robust_accuracy=headline.value, interval=headline.interval, **changes)


def test_json_reads_back_equal(tmp_path, make_result):
    result = drawn(make_result)
    (path,) = write_reports(result, tmp_path, ["json"])
    again = read_json(path)
    assert again == result
    assert again.stochastic_report.robust.majority.value == 0.5
    fields = json.loads(path.read_text())
    assert fields["stochastic_report"]["rule"] == "single"
    assert list(fields["stochastic_report"]["robust"]) == [
        "expectation",
        "majority",
        "worst_of_1",
        "worst_of_10",
        "worst_of_100",
    ]


def test_results_from_before_there_was_a_record_are_read(tmp_path, make_result):
    """The record may be missing, so the schema has the version that it had."""
    fields = json.loads(render_json(make_result()))
    del fields["stochastic_report"]
    (tmp_path / "old.json").write_text(json.dumps(fields))
    assert read_json(tmp_path / "old.json") == make_result()


def _cells(text):
    table = text[text.index('aria-label="Accuracies of a random target"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)[1:]
    return [[" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in re.split(r"</t[hd]>", row)[:3]] for row in rows]


def test_the_page_has_clean_beside_robust(make_result):
    text = render_html(drawn(make_result))
    rows = _cells(text.replace("\u202f", ""))
    assert [row[0].split(" one ")[0].split(" a ")[0] for row in rows] == [
        "Expectation",
        "Majority",
        "Worst of 10",
        "Worst of 100",
    ]
    firsts = [(clean.split()[0], robust.split()[0]) for _, clean, robust in rows]
    assert firsts == [("90.3%", "67.5%"), ("90.0%", "50.0%"), ("83.6%", "33.3%"), ("75.0%", "25.0%")]
    for _, *cells in rows:
        for cell in cells:
            value, low, high = (float(number) for number in re.findall(r"[\d.]+", cell))
            assert low < value < high
    assert "needs one wrong answer" in text
    assert "decision rule single" in text
    assert "brought below half by an attack" in text
    assert "steps rest on the draws that chose" in text


def test_a_deterministic_target_has_no_such_table(make_result):
    result = make_result()
    text = render_html(result)
    assert "Accuracies of a random target" not in text
    assert "decision rule" not in text
    assert draw_lines(result) == []
    assert draw_words(result) == ""
    assert b"scoring_draws" not in render_junit(result)


def test_an_unfinished_score_has_no_table_either(make_result):
    text = render_html(make_result(stochastic=True, complete=False))
    assert "Accuracies of a random target" not in text
    assert "Unfinished run" in text


def test_a_rule_of_many_draws_is_named(make_result):
    assert "each an answer by the rule majority:5," in draw_words(drawn(make_result, "majority:5"))
    assert "by the rule" not in draw_words(drawn(make_result))


def test_junit_properties(make_result):
    result: Result = drawn(make_result, "mean:10")
    (suite,) = JUnitXml.fromfile(io.BytesIO(render_junit(result)))
    properties = {p.name: p.value for p in suite.properties()}
    assert properties["decision_rule"] == "mean:10"
    assert properties["scoring_draws"] == "100"
    assert float(properties["robust_expectation"]) == float(properties["robust_accuracy"])
    assert float(properties["robust_majority"]) == 0.5
    assert float(properties["clean_worst_of_100"]) == 0.75
    low, high = (float(properties[f"robust_worst_of_10_{end}"]) for end in ("low", "high"))
    assert (low, high) == result.stochastic_report.robust.worst_of_10.interval


@pytest.mark.parametrize("width", [60, 120])
def test_the_console_shows_the_table(make_result, width):
    stream = io.StringIO()
    show_result(Console(file=stream, width=width), drawn(make_result))
    lines = [line.split() for line in stream.getvalue().splitlines()]
    (majority,) = [words for words in lines if words[:1] == ["majority"]]
    assert (majority[1], majority[5]) == ("90.0%", "50.0%")
    assert ["worst", "of", "100", "75.0%"] in [words[:4] for words in lines]
    assert "needs one wrong answer" in " ".join(stream.getvalue().split())
    plain = io.StringIO()
    show_result(Console(file=plain, width=width), make_result())
    assert "majority" not in plain.getvalue()
