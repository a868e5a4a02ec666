"""The result as one self-contained page: no script, no network, everything from outside escaped."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..harness.results import PHASES, Finding, Result
from . import wording
from .attacks import attack_lines
from .bounds import certified_words, grid_words, on_grid
from .caveat import taken
from .controls import controls_words, passes
from .curve import curve
from .detector import curve_words, detector_words, point_lines
from .drawing import PHONE, WIDE
from .draws import draw_lines, draw_words
from .histogram import histogram
from .indicators import indicator_words, looked_at, named
from .json_report import plain
from .judging import regression_words, sequential_words
from .pictures import picture
from .plan import left_out, plan_lines
from .power import planted, power, power_words
from .radii import measured, radii, radii_words
from .shares import shares
from .staircase import MOST_STEPS, staircase
from .waivers import STATUS, waived_words

ROWS = 1000
"""So many samples are listed in the page; the JSON holds all."""

_FILTERS = (
    *(wording.percent, wording.count, wording.number, wording.rate, wording.duration, wording.plural),
    *(wording.norm, wording.radius, wording.interval, wording.gate, wording.held_against, wording.points),
    *(named, passes, wording.within, wording.capfirst),
)
_SEVERITIES = ("severe", "warning", "info", "ok")


@dataclass(frozen=True)
class Plot:
    """One figure, drawn twice: for a wide window and for a phone."""

    wide: Markup
    phone: Markup


def render_html(result: Result) -> str:
    """The page, from the verdict down to the single samples."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(result=result, **_figures(result), **_words(result), **_tables(result))
    )


def _figures(result: Result) -> dict[str, Any]:
    return {
        "curve": _plot(curve, result),
        "staircase": _plot(staircase, result),
        "histogram": _plot(histogram, result),
        "power": _plot(power, result),
        "radii": _plot(radii, result),
        "gallery": [picture(item) for item in result.gallery],
    }


def _words(result: Result) -> dict[str, Any]:
    return {
        "draw_words": draw_words(result),
        "detector_words": detector_words(result),
        "curve_words": curve_words(result),
        "power_words": power_words(result),
        "radii_words": radii_words(result),
        "controls_words": controls_words(result),
        "certified_words": certified_words(result),
        "grid_words": grid_words(result),
        "on_grid": on_grid(result),
        "indicator_words": indicator_words(result),
        "regression_words": regression_words(result),
        "sequential_words": sequential_words(result),
        "taken": taken(result),
        "configuration": yaml.safe_dump(plain(result.suite_source), sort_keys=False, allow_unicode=True, width=100),
    }


def _tables(result: Result) -> dict[str, Any]:
    return {
        "shares": shares(result),
        "draws": draw_lines(result),
        "points": point_lines(result),
        "attacks": attack_lines(result),
        "planted": planted(result),
        "measured_radii": measured(result),
        "plan": plan_lines(result.plan),
        "left_out": left_out(result.plan),
        "findings": [(finding, waived_words(finding)) for finding in _by_severity(result.findings)],
        "phases": [(name, result.passes.phases[name]) for name in PHASES if name in result.passes.phases],
        "indicated": bool(looked_at(result)),
        "rows": result.samples[:ROWS],
    }


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
    environment.globals |= {"missing": wording.MISSING, "most_steps": MOST_STEPS, "waiver_status": STATUS}
    return environment


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else wording.clean(value)


def _plot(draw: Callable[[Result, int], str], result: Result) -> Plot | None:
    wide = draw(result, WIDE)
    # Safe to mark: the drawing escapes every text that it puts into its SVG.
    return Plot(Markup(wide), Markup(draw(result, PHONE))) if wide else None


def _by_severity(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda found: (_SEVERITIES.index(found.severity), bool(found.waived)))
