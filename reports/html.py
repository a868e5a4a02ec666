"""The result as one self-contained page: no script, no network, everything from outside escaped."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..harness.results import PHASES, Finding, Outcome, Result
from . import wording
from .curve import curve
from .detector import curve_words, detector_words, point_lines
from .drawing import PHONE, WIDE
from .draws import draw_lines, draw_words
from .histogram import histogram
from .json_report import plain
from .pictures import picture
from .staircase import MOST_STEPS, staircase

ROWS = 1000
"""So many samples are listed in the page; the JSON holds all."""

_OUTCOMES: tuple[tuple[Outcome, str], ...] = (
    ("survived", "withstood every attack"),
    ("broken", "broken by an attack"),
    ("clean_error", "wrong before any attack"),
    ("not_evaluated", "not evaluated"),
)
_RANDOM_OUTCOMES: tuple[tuple[Outcome, str], ...] = (
    ("survived", "right on at least half of the draws under every attack"),
    ("broken", "brought below half by an attack"),
    ("clean_error", "below half before any attack"),
    ("not_evaluated", "not evaluated"),
)
_FILTERS = (
    *(wording.percent, wording.count, wording.number, wording.rate, wording.duration, wording.plural),
    *(wording.norm, wording.radius, wording.interval, wording.gate, wording.held_against),
)
_SEVERITIES = ("severe", "warning", "info", "ok")


@dataclass(frozen=True)
class Plot:
    """One figure, drawn twice: for a wide window and for a phone."""

    wide: Markup
    phone: Markup


@dataclass(frozen=True)
class Share:
    """How many samples ended one way, and what part of all of them."""

    outcome: Outcome
    words: str
    samples: int
    part: float


def render_html(result: Result) -> str:
    """The page, from the verdict down to the single samples."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            shares=_shares(result),
            draws=draw_lines(result),
            draw_words=draw_words(result),
            points=point_lines(result),
            detector_words=detector_words(result),
            curve=_plot(curve, result),
            curve_words=curve_words(result),
            staircase=_plot(staircase, result),
            histogram=_plot(histogram, result),
            gallery=[picture(item) for item in result.gallery],
            findings=_by_severity(result.findings),
            phases=[(name, result.passes.phases[name]) for name in PHASES if name in result.passes.phases],
            configuration=yaml.safe_dump(plain(result.suite_source), sort_keys=False, allow_unicode=True, width=100),
            rows=result.samples[:ROWS],
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__.rpartition(".")[0]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {word.__name__: word for word in _FILTERS}
    environment.globals |= {"missing": wording.MISSING, "most_steps": MOST_STEPS}
    return environment


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else wording.clean(value)


def _plot(draw: Callable[[Result, int], str], result: Result) -> Plot | None:
    wide = draw(result, WIDE)
    # Safe to mark: the drawing escapes every text that it puts into its SVG.
    return Plot(Markup(wide), Markup(draw(result, PHONE))) if wide else None


def _shares(result: Result) -> list[Share]:
    counted = Counter(sample.outcome for sample in result.samples)
    every = max(1, len(result.samples))
    outcomes = _RANDOM_OUTCOMES if result.stochastic else _OUTCOMES
    return [Share(key, words, counted[key], counted[key] / every) for key, words in outcomes if counted[key]]


def _by_severity(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity))
