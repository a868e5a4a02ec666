"""What the page shows of trust: findings, waivers, controls, bounds, indicators, the gate, whatever is in them."""

import math
import re
from html.parser import HTMLParser

import pytest

from robcheck.harness.results import Finding, PlanEntry, SampleRecord
from robcheck.harness.trust import (
    CertifiedRecord,
    ControlRecord,
    CurvePoint,
    GatePart,
    GridRecord,
    Measure,
    PowerLevel,
    PowerRecord,
    RegressionRecord,
    SequentialRecord,
    Waiver,
)
from robcheck.reports import render_html, render_json, render_junit

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y> $\\frac{$ {{ 7*7 }} \x00\u202e" + "w" * 2000


class Page(HTMLParser):
    """Balanced, without scripts, events, or anything from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag not in {"script", "link", "iframe", "object", "form", "base"}
        for name, value in attrs:
            assert not name.startswith("on")
            if name in {"src", "href"}:
                assert value.startswith(("data:image/png;base64,", "#"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def light(make_trusted):
    """The same without figures, which take their time."""
    few = {"attacks": [], "radii": [], "power": None, "gallery": []}
    return lambda **changes: make_trusted(**(few | {"samples": make_trusted().samples[:8]} | changes))


@pytest.fixture(scope="module")
def page(make_trusted):
    return render_html(make_trusted())


def test_the_sections_stand_in_order(page):
    text = page
    Page(text)
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", text) == [
        "FAIL",
        "What stands against a PASS",
        "Findings",
        "The gate",
        "How accuracy falls",
        "Accuracy over the radius",
        "Power of the attacks",
        "Controls",
        "Attacks",
        "Plan",
        "Adversarial examples",
        "Model",
        "Data and run",
        "Details",
        "How to read this report",
    ]


def test_the_headline_has_both_bounds_beside_it(page, make_result):
    text = page.replace("\u202f", "")
    card = text[text.index('<section class="verdict"') : text.index("</section>")]
    for words in (
        "On the 8-bit pixel grid</dt><dd>45.0%",
        "Proven by interval bounds</dt><dd>at least 15.0%",
        "proven 15.0% \u2264 truth \u2264 attacked 40.0%",
        "Against the baseline</dt><dd>\u221210.0 points",
        "6 of 8 hardest planted breaks found",
        "of 100, enough to decide",
        "sampling of test points alone; attacks give an upper bound",
        "<b>3</b> proven robust",
    ):
        assert words in card.replace("</dt>\n<dd>", "</dt><dd>")
    plain = render_html(make_result(attacks=[], gallery=[]))
    for words in ("8-bit pixel grid", "Proven by", "Against the baseline", "hardest planted", 'class="facts trust"'):
        assert words not in plain


def test_the_grid_as_the_headline_is_said_in_its_label(light):
    result = light()
    result.threat = result.threat.model_copy(update={"pixel_grid": "8bit"})
    text = render_html(result)
    assert "Worst-case robust accuracy on the 8-bit pixel grid</p>" in text
    assert ">On the 8-bit pixel grid<" not in text


def test_a_void_proof_is_red(light):
    text = render_html(light(certified=CertifiedRecord(accuracy=0.15, samples=8, contradicted=1)))
    assert '<span class="wrong">void</span>' in text
    assert "proven robust" not in text


def test_waivers_are_listed_and_expired_ones_are_red(page, make_result):
    text = page
    assert '<span class="tag waived">waived</span>' in text
    assert "Waived: old (until 2027-01-31)" in text
    assert '<span class="nowrap late">ended 2025-01-31</span>' in text
    assert text.count(" late") == 1
    for status in ("applied", "expired", "unused", "refused"):
        assert f'<span class="tag {status}">{status}</span>' in text
    assert "<h3>Waivers</h3>" not in render_html(make_result(attacks=[], samples=[], gallery=[]))


def test_a_severe_finding_that_stands_comes_before_one_that_is_waived(page):
    text = page
    assert (
        text.index("<code>MASKED</code>") < text.index("<code>NOT_CONVERGED</code>") < text.index("<code>NOTE</code>")
    )


def test_every_control_is_a_row(page):
    text = page.replace("\u202f", "")
    table = text[text.index('aria-label="Controls"') :]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)[1:]
    cells = [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in rows]
    assert cells == [
        "one step Does one step break what many do not? ok one step 60.0% many steps 40.0% 8 0 120 0.4 s",
        "random Do random points break what attacks do not? ok points per sample 10,000 8 1 120 0.4 s",
        "sibling Does it fall without its defense? skipped it has no defense \u2013 \u2013 \u2013 \u2013",
        "planted Is what surely exists found? failed ModelError: no memory \u2013 \u2013 \u2013 \u2013",
    ]
    assert 'style="width: 60.0%"' in table
    assert "Level standard: 2 of 4 experiments ran" in text


def test_switched_off_controls_are_said(make_result):
    assert "Control experiments were switched off" in render_html(
        make_result(controls_level="none", attacks=[], samples=[], gallery=[])
    )


def test_the_samples_tell_what_is_evidence(page, make_result):
    text = page
    assert text.count('<span class="tag ok">evidence</span>') == 5
    assert '<span class="tag warning" title="no gradient">I1</span>' in text
    assert "of 6 standing samples looked at, 5 count as evidence of robustness" in text
    assert "<th>Indicators</th>" not in render_html(make_result(attacks=[], samples=[], gallery=[]))


def test_the_gate_has_parts_where_there_are_several(light):
    parts = [
        GatePart(name="robust accuracy", state="fails", text="<below>"),
        GatePart(name="regression", state="open", text="The interval holds it."),
    ]
    text = render_html(light(gate_parts=parts))
    assert "The gate, part by part" in text
    assert '<span class="tag fails">fails</span> <b>robust accuracy</b> &lt;below&gt;' in text


def _hostile(make_trusted):
    h = HOSTILE
    level = PowerLevel(name=h, planted=3, found=2, by_one_step=1, interval=(0.1, 0.9))
    record = RegressionRecord.model_validate(make_trusted().regression.model_dump() | {"baseline": h})
    return make_trusted(
        plan=[
            PlanEntry(name=h, attack=h, loss=h, step_size=h, answers=h, gradient=h, reason=h, parameters={h: h}),
            PlanEntry(name="child", attack=h, revises=h, reason=h),
            PlanEntry(name="out" + h, attack=h, runs=False, reason=h, cost=h),
        ],
        controls=[
            ControlRecord(name=h, question=h, status=status, reason=h, measures=[Measure(label=h, value=0.5)], fell=1)
            for status in ("ok", "skipped", "failed")
        ],
        controls_level=h,
        power=PowerRecord(levels=[level], attacks=[h]),
        regression=record,
        sequential=SequentialRecord(method=h, looked=[1], of=2, decided=False),
        waivers=[Waiver(code=h, reason=h, expires=h, status=status) for status in ("applied", "expired")],
        findings=[Finding(code=h, severity="severe", message=h, remedy=h, waived=h)],
        samples=[
            SampleRecord(id=0, label=0, outcome="survived", clean_prediction=0, indicators=[h], evidence=False),
        ],
    )


def test_hostile_text_is_escaped_everywhere(make_trusted):
    text = render_html(_hostile(make_trusted))
    Page(text)
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "\x00" not in text
    assert text.count("&lt;script&gt;") > 20


def _extreme(make_trusted):
    nan = math.nan
    return make_trusted(
        samples=[],
        robust_accuracy=nan,
        interval=(nan, nan),
        attacks=[],
        controls=[
            ControlRecord(
                name="odd",
                question="?",
                seconds=nan,
                measures=[Measure(label="nan", value=nan), Measure(label="inf", value=math.inf, kind="number")],
            )
        ],
        power=PowerRecord(levels=[PowerLevel(name="x", planted=0, found=0, by_one_step=0, interval=(nan, nan))]),
        radii=[CurvePoint(epsilon=nan, accuracy=nan, samples=0)],
        grid=GridRecord(robust_accuracy=nan, interval=(nan, nan), kept=0, breaks=0),
        certified=CertifiedRecord(accuracy=nan, samples=0),
        regression=RegressionRecord.model_validate(
            make_trusted().regression.model_dump()
            | {"samples": 0, "before": nan, "after": nan, "p": nan, "interval": (nan, nan), "change": (nan, nan)}
        ),
        sequential=SequentialRecord(method="", looked=[], of=0, decided=False),
    )


def test_nothing_and_not_a_number_render(make_trusted):
    result = _extreme(make_trusted)
    text = render_html(result)
    Page(text)
    assert "nan%" not in text
    assert 'style="width: 0.0%"' in text
    assert render_json(result)
    assert render_junit(result)


@pytest.mark.slow
def test_ten_thousand_rows_render(make_trusted):
    base = make_trusted()
    many = base.model_copy(
        update={
            "samples": [base.samples[0].model_copy(update={"id": i}) for i in range(10_000)],
            "controls": [base.controls[0].model_copy(update={"name": f"c{i}"}) for i in range(10_000)],
            "plan": [
                base.plan[i % 3].model_copy(update={"name": f"p{i}", "revises": f"p{i - 1}"}) for i in range(10_000)
            ],
            "waivers": base.waivers * 2500,
        }
    )
    text = render_html(many)
    Page(text)
    assert "The first 1,000 of 10,000 samples" in text
