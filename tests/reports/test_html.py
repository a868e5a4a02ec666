import re
from html.parser import HTMLParser

import pytest

from robcheck.harness.results import GalleryItem, Gate, SampleRecord, ThreatRecord
from robcheck.reports import render_html
from robcheck.reports.html import ROWS

VOID = {"meta", "img", "br", "link", "hr", "input"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y> $\\frac{$ {{ 7*7 }} font: 9px \x00\u202e" + "w" * 3000


class Page(HTMLParser):
    """What a browser would see: tags, attributes, ids; an unbalanced page is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _check(text):
    page = Page(text)
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
            assert value.startswith(("data:image/png;base64,", "#"))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert "url(http" not in text
    assert "@import" not in text
    return page


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INCONCLUSIVE", "NO_GATE"])
def test_each_verdict_renders(make_result, verdict):
    gate = Gate(min_robust_accuracy=None if verdict == "NO_GATE" else 0.7)
    text = render_html(make_result(verdict=verdict, gate=gate))
    _check(text)
    assert f'<h2 id="verdict">{verdict.replace("_", " ")}</h2>' in text
    assert f'<body class="{verdict.lower()}">' in text
    assert "40.0\u202f%" in text
    assert "19.1\u202f% to 63.9\u202f%" in text
    assert "8/255 = 0.03137" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "Unfinished run" not in text


def test_the_sections_stand_in_order(make_result):
    heads = re.findall(r"<h2[^>]*>([^<]*)</h2>", render_html(make_result()))
    assert heads == [
        "FAIL",
        "What stands against a PASS",
        "Findings",
        "How accuracy falls",
        "Controls",
        "Attacks",
        "Plan",
        "Adversarial examples",
        "Model",
        "Data and run",
        "Details",
        "How to read this report",
    ]


def test_the_staircase_names_every_attack_that_ran(make_result):
    text = render_html(make_result())
    drawn = re.findall(r'<svg viewBox[^>]*aria-labelledby="stairs.*?</svg>', text, re.DOTALL)
    assert len(drawn) == 2
    for drawing in drawn:
        assert ">apgd-ce</text>" in drawing
        assert ">\u22128</text>" in drawing
        assert ">square</text>" in drawing
        assert ">transfer</text>" not in drawing
        assert "apgd-ce broke 8, leaving 40.0\u202f%" in drawing
        assert "#0101" not in drawing


def test_distances_are_drawn_only_where_they_say_something(make_result):
    assert "How far the breaks lie" in render_html(make_result())
    result = make_result()
    for sample in result.samples:
        sample.distance = 0.03 if sample.outcome == "broken" else None
    assert "How far the breaks lie" not in render_html(result)


def test_very_many_attacks_render(make_result):
    record = make_result().attacks[0]
    many = [record.model_copy(update={"name": f"a{i}", "broken": i % 2}) for i in range(100)]
    text = render_html(make_result(attacks=many))
    _check(text)
    assert "only the first 36" in text


def test_severe_findings_come_first(make_result):
    text = render_html(make_result())
    assert text.index("MASKED") < text.index("<code>NOTE</code>")


def test_the_contract_is_shown_check_by_check(make_result):
    text = render_html(make_result())
    assert "check by check" in text
    assert '<span class="tag ok">ok</span>' in text
    assert "nobody &lt;asked&gt;" in text
    assert "check by check" not in render_html(make_result(contract=[]))


def test_an_unfinished_run_says_so(make_result):
    assert "Unfinished run" in render_html(make_result(complete=False))


def test_empty_lists_render(make_result):
    text = render_html(
        make_result(attacks=[], gallery=[], findings=[], plan=[], samples=[], against_pass=[], suite_source={})
    )
    _check(text)
    assert "No attack ran" in text
    assert "No examples to show" in text


def test_unusual_results_render(make_result):
    far = [SampleRecord(id=0, label=0, outcome="not_evaluated", clean_prediction=0)]
    for threat in (
        ThreatRecord(norm="l2", epsilon=(0.5, 1.0), targeted=True),
        ThreatRecord(norm="linf", epsilon=None, box=True),
        ThreatRecord(norm="l0", epsilon=12.0),
    ):
        nan = float("nan")
        _check(
            render_html(
                make_result(threat=threat, stochastic=True, samples=far, robust_accuracy=nan, interval=(nan, nan))
            )
        )


def test_hostile_text_is_escaped(make_result):
    result = make_result(explanation=HOSTILE, against_pass=[HOSTILE], suite=HOSTILE, suite_source={HOSTILE: HOSTILE})
    result.model = result.model.model_copy(
        update={"name": HOSTILE, "notes": (HOSTILE,), "operators": {HOSTILE: 1}, "obstacles": {HOSTILE: HOSTILE}}
    )
    result.data.name = result.environment.platform = result.threat.norm = HOSTILE
    result.defenses = [HOSTILE]
    for record in result.attacks:
        record.name = record.attack = record.reason = record.gradient = HOSTILE
    for entry in result.plan:
        entry.name, entry.reason, entry.parameters = HOSTILE, HOSTILE, {HOSTILE: HOSTILE}
    for finding in result.findings:
        finding.code = finding.message = finding.remedy = HOSTILE
    for item in result.gallery:
        item.label = item.prediction = item.clean_prediction = item.attack = HOSTILE
    for sample in result.samples:
        sample.broken_by = HOSTILE
    text = render_html(result)
    page = _check(text)
    assert page.tags.count("img") == 3 * len(result.gallery)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\u202e" not in text
    assert "\x00" not in text
    assert "{{ 7*7 }}" in text


def test_only_so_many_samples_are_listed(make_result):
    samples = [SampleRecord(id=i, label=0, outcome="survived", clean_prediction=0) for i in range(ROWS + 7)]
    text = render_html(make_result(samples=samples))
    assert "The first 1,000 of 1,007 samples" in text
    assert text.count('<tr><th scope="row" class="n">') == ROWS


def test_pictures_that_cannot_be_drawn_are_words(make_result):
    words = {"label": "a", "clean_prediction": "a", "prediction": "b", "attack": "x", "distance": 0.1}
    odd = [
        GalleryItem(id=1, clean=[[1.0], [1.0, 2.0]], adversarial=[[1.0]], **words),
        GalleryItem(id=2, clean=[], adversarial=[], **words),
        GalleryItem(id=3, clean=[["x"]], adversarial=[["y"]], **words),
    ]
    text = render_html(make_result(gallery=odd))
    assert text.count("cannot be drawn") == 3
    _check(text)


def test_the_page_is_the_same_twice(make_result):
    assert render_html(make_result()) == render_html(make_result())
