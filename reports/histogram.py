"""How far the breaks lie from their samples."""

from matplotlib.ticker import MaxNLocator

from ..harness.results import Result
from .drawing import (
    INK,
    LINE,
    MUTED,
    WIDE,
    figure,
    short,
    svg,
)
from .wording import norm, number, plural

_FEWEST_BREAKS = 8
_LEAST_SPREAD = 0.05


def histogram(result: Result, width: int) -> str:
    """The distances of the breaks as SVG; empty where they are few or hardly differ."""
    found = [s.distance for s in result.samples if s.outcome == "broken" and s.distance is not None]
    far = sorted(distance for distance in found if 0 <= distance < float("inf"))
    if len(far) < _FEWEST_BREAKS or far[-1] - far[0] < _LEAST_SPREAD * far[-1]:
        return ""
    drawing, axes = figure(width, 220 if width == WIDE else 230)
    top = far[-1]
    if isinstance(result.threat.epsilon, float) and 0 < result.threat.epsilon < 2 * top:
        top = max(top, result.threat.epsilon)
        axes.axvline(result.threat.epsilon, color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    axes.hist(far, bins=40 if width == WIDE else 20, range=(0.0, top), color=LINE, rwidth=0.86)
    axes.set_xlim(0, top * 1.01)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(8 if width == WIDE else 4))
    unit = short(norm(result.threat), 24)
    axes.set_xlabel(f"{unit} distance from the clean sample", color=MUTED, fontsize=11, labelpad=6)
    axes.set_ylabel("samples", color=MUTED, fontsize=11)
    nearest, middle, farthest = (number(far[i]) for i in (0, len(far) // 2, -1))
    text = f"{plural(len(far), 'break')}: nearest {nearest}, median {middle}, farthest {farthest}."
    return svg(drawing, f"far{width}", "Distances of the breaks", text)
