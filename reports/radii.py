"""Accuracy under attack over the radius."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..harness.results import CurvePoint, Result
from .drawing import FILL, GATE, INK, LINE, MUTED, WIDE, figure, short, svg
from .wording import norm, number, percent, plural

Values = npt.NDArray[np.float64]

_TITLE = "Accuracy under attack over the radius"
_DASHES = (0, (5, 3))
_MOST_LABELS = {True: 14, False: 7}


def radii(result: Result, width: int) -> str:
    """The curve with eps and the level of chance marked, as SVG; empty with fewer than two radii."""
    points = measured(result)
    if len(points) < 2:
        return ""
    wide = width == WIDE
    drawing, axes = figure(width, 340 if wide else 300)
    across, up = [point.epsilon for point in points], [100 * point.accuracy for point in points]
    # Radii double from one to the next: under a root they stand apart and zero still has a place.
    axes.set_xscale("function", functions=(_root, _square))
    axes.fill_between(across, up, color=FILL, linewidth=0)
    axes.plot(across, up, "o-", color=LINE, linewidth=2.2, markersize=5)
    axes.set_xlim(0, across[-1] * 1.04 or 1.0)
    axes.set_ylim(0, 108)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
    _ticks(axes, across, wide=wide)
    if len(points) <= _MOST_LABELS[wide]:
        for point in points:
            _label(axes, point, across[-1])
    _eps(axes, result, across[-1])
    _chance(axes, result, wide=wide)
    unit = short(norm(result.threat), 24)
    axes.set_xlabel(f"{unit} radius (square-root scale)", color=MUTED, fontsize=11, labelpad=6)
    seen = "; ".join(f"radius {number(point.epsilon)}: {percent(point.accuracy)}" for point in points)
    return svg(drawing, f"radii{width}", _TITLE, f"{seen}.")


def measured(result: Result) -> list[CurvePoint]:
    """The points that can be drawn, smallest radius first."""
    fit = [p for p in result.radii if math.isfinite(p.epsilon) and p.epsilon >= 0 and math.isfinite(p.accuracy)]
    return sorted(fit, key=lambda point: point.epsilon)


def radii_words(result: Result) -> str:
    """On how many samples, and what the curve has to do; empty without one."""
    points = measured(result)
    if not points:
        return ""
    samples = [point.samples for point in points]
    fewest, most = min(samples), max(samples)
    on = plural(most, "sample") if fewest == most else f"{fewest} to {plural(most, 'sample')}"
    return (
        f"The same attack on {on} at growing radii: accuracy has to fall, and to reach chance or less where the "
        "adversary may do anything. A curve that stays up says that the attack fails, not that the model holds."
    )


def chance(result: Result) -> float | None:
    """What guessing is worth; None where the number of classes is unknown."""
    classes = result.model.classes
    return None if not classes else 1 / classes


def _ticks(axes: Axes, across: list[float], *, wide: bool) -> None:
    least = (0.05 if wide else 0.13) * _root_of(across[-1])
    places: list[float] = []
    for place in across:
        if not places or _root_of(place) - _root_of(places[-1]) >= least:
            places.append(place)
    axes.set_xticks(places, [number(float(f"{place:.3g}")) for place in places])
    axes.minorticks_off()


def _label(axes: Axes, point: CurvePoint, farthest: float) -> None:
    last = point.epsilon >= farthest
    axes.annotate(
        percent(point.accuracy),
        (point.epsilon, 100 * point.accuracy),
        xytext=(2 if last else 5, 7),
        textcoords="offset points",
        ha="right" if last else "left",
        color=INK,
        fontsize=11,
    )


def _eps(axes: Axes, result: Result, farthest: float) -> None:
    eps = result.threat.epsilon
    if isinstance(eps, float) and 0 < eps <= farthest:
        axes.axvline(eps, color=INK, linewidth=1.4, linestyle=_DASHES)
        side = axes.get_xaxis_transform()
        axes.text(eps, 1.005, "eps", ha="center", va="bottom", color=INK, fontsize=11, transform=side)


def _chance(axes: Axes, result: Result, *, wide: bool) -> None:
    level = chance(result)
    if level is None:
        return
    axes.axhline(100 * level, color=GATE, linewidth=1.4, linestyle=_DASHES)
    text, side = f"chance\n{percent(level)}", axes.get_yaxis_transform()
    if wide:
        axes.text(1.006, 100 * level, text, va="center", color=GATE, fontsize=11, transform=side)
    else:
        flat = text.replace("\n", " ")
        axes.text(1.0, 100 * level + 2, flat, ha="right", va="bottom", color=GATE, fontsize=11, transform=side)


def _root_of(value: float) -> float:
    return math.sqrt(max(value, 0.0))


def _root(values: Values) -> Values:
    return np.sqrt(np.maximum(values, 0.0))


def _square(values: Values) -> Values:
    return np.square(values)
