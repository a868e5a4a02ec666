"""The figures of power and of accuracy over the radius, and the words beside them."""

import math
import re

import pytest

from robcheck.harness.results import ThreatRecord
from robcheck.harness.trust import CurvePoint, PowerLevel, PowerRecord
from robcheck.reports import render_html
from robcheck.reports.drawing import PHONE, WIDE
from robcheck.reports.power import power, power_line, power_words
from robcheck.reports.radii import radii, radii_words

HOSTILE = "<b>$\\frac{$ & \"'" + "w" * 500


def _well_formed(drawn):
    assert drawn.startswith("<svg")
    assert "#0101" not in drawn
    assert "<b>" not in drawn
    assert "http" not in drawn
    assert "nan" not in drawn.lower().replace("dominant", "")


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_power_shows_every_level_with_one_step_beside_it(make_trusted, width):
    drawn = power(make_trusted(), width)
    _well_formed(drawn)
    assert "easy: 8 of 8 found, one step 7; middle: 7 of 8 found, one step 3; hard: 6 of 8 found" in drawn
    for word in ("one step 7", "one step 3", "one step 0"):
        assert f">{word}<" in drawn
    for word in ("8 of 8", "7 of 8", "6 of 8") if width == WIDE else ("easy: 8 of 8", "hard: 6 of 8"):
        assert f">{word}<" in drawn


def test_the_sentence_about_power_tells_the_hardest_level(make_trusted):
    words = power_words(make_trusted()).replace("\u202f", "")
    assert "Of 8 adversarial examples that surely exist" in words
    assert "the plan found 6 (75.0%, 34.0% to 97.0%), a single step 0" in words
    assert power_line(make_trusted()) == (
        "easy 8 of 8, middle 7 of 8, hard 6 of 8 planted breaks found (one step: 7, 3, 0)"
    )


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_power_draws_odd_levels(make_trusted, width):
    levels = [
        PowerLevel(name=HOSTILE, planted=3, found=9, by_one_step=9, interval=(math.nan, math.inf)),
        PowerLevel(name="empty", planted=0, found=0, by_one_step=0, interval=(0, 1)),
    ]
    result = make_trusted(power=PowerRecord(levels=levels))
    drawn = power(result, width)
    _well_formed(drawn)
    assert ">empty" not in drawn
    for none in (None, PowerRecord(levels=[]), PowerRecord(levels=levels[1:])):
        empty = make_trusted(power=none)
        assert (power(empty, width), power_words(empty), power_line(empty)) == ("", "", "")


def _line(drawn):
    """The points of the curve, in the figure's own coordinates."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*style="fill: none; stroke: var\(--accent\)', drawn)
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML] ([\d.]+) ([\d.]+)", paths[0])]


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_curve_is_drawn_under_a_root(make_trusted, width):
    """Four times the radius is twice as far to the right, and half the accuracy half as high."""
    values = ((0, 1.0), (0.05, 0.8), (0.2, 0.4), (0.8, 0.2))
    points = [CurvePoint(epsilon=eps, accuracy=accuracy, samples=9) for eps, accuracy in values]
    result = make_trusted(radii=points[::-1], threat=ThreatRecord(norm="linf", epsilon=0.2))
    drawn = radii(result, width)
    _well_formed(drawn)
    (left, top), *rest, (right, _) = _line(drawn)
    whole = rest[1][1] - top
    assert [x - left for x, _ in (*rest, (right, 0))] == pytest.approx(
        [0.25 * (right - left), 0.5 * (right - left), right - left], abs=0.1
    )
    assert rest[0][1] - top == pytest.approx(whole / 3, abs=0.1)
    for word in ("eps", "0.05", "0.2", "0.8"):
        assert f">{word}<" in drawn
    assert ">chance" in drawn
    assert "radius 0.05: 80.0\u202f%; radius 0.2: 40.0\u202f%" in drawn


def test_what_is_unknown_is_not_drawn(make_trusted):
    result = make_trusted(threat=ThreatRecord(norm="l2", epsilon=(0.1, 0.2)))
    result.model = result.model.model_copy(update={"classes": None})
    drawn = radii(result, WIDE)
    assert ">eps<" not in drawn
    assert "chance" not in drawn
    assert "chance is not drawn" in render_html(result.model_copy(update={"attacks": [], "samples": []}))


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_radii_that_cannot_be_drawn_are_left_out(make_trusted, width):
    bad = [
        CurvePoint(epsilon=math.nan, accuracy=0.5, samples=1),
        CurvePoint(epsilon=math.inf, accuracy=0.5, samples=1),
        CurvePoint(epsilon=0.1, accuracy=math.nan, samples=1),
        CurvePoint(epsilon=-1.0, accuracy=0.5, samples=1),
    ]
    assert radii(make_trusted(radii=bad), width) == ""
    assert radii_words(make_trusted(radii=bad)) == ""
    zero = [CurvePoint(epsilon=0.0, accuracy=0.5, samples=4)] * 2
    _well_formed(radii(make_trusted(radii=zero), width))
    if width == WIDE:
        assert "Power of the attacks" not in render_html(make_trusted(power=None, radii=bad, attacks=[], samples=[]))
    many = [CurvePoint(epsilon=i / 3e3, accuracy=1 - i / 3e3, samples=i) for i in range(3_000)]
    _well_formed(radii(make_trusted(radii=many), width))


def test_one_radius_is_a_row_and_no_figure(make_trusted):
    result = make_trusted(radii=[CurvePoint(epsilon=0.1, accuracy=0.25, samples=7)])
    result = result.model_copy(update={"attacks": [], "samples": []})
    text = render_html(result)
    assert "<details open><summary>As numbers" in text
    assert 'aria-labelledby="radii' not in text
    assert '<td class="n">0.1</td><td class="n"><b>25.0\u202f%</b></td><td class="n">7</td>' in text
    assert "Accuracy over the radius" not in render_html(make_trusted(radii=[], attacks=[], samples=[]))
