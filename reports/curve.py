"""What a detector is worth at every threshold: clean samples rejected against adaptive examples detected."""

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..harness.results import OperatingPoint, RejectionRecord, Result
from .drawing import BREAK, FILL, INK, LINE, MUTED, PHONE, WIDE, figure, svg
from .wording import number, percent

_TITLE = "Detection against clean rejection"
_FULL = {WIDE: 380, PHONE: 330}


def curve(result: Result, width: int) -> str:
    """The receiver operating characteristic with adaptive examples, as SVG; empty where there is none."""
    record = result.rejection
    if record is None or not record.curve or record.area is None:
        return ""
    drawing, axes = figure(width, _FULL[width])
    across, up = zip(*((100 * x, 100 * y) for x, y in record.curve), strict=True)
    axes.fill_between(across, up, color=FILL, linewidth=0)
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1.0, linestyle=(0, (5, 3)))
    axes.plot(across, up, color=LINE, linewidth=2.2)
    for level, (point, name) in enumerate(_points(record)):
        _mark(axes, point, name, 5 + 14 * level)
    axes.set_xlim(-1.5, 102)
    axes.set_ylim(0, 106)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_xlabel("clean samples rejected", color=MUTED, fontsize=11, labelpad=6)
    axes.set_ylabel("adaptive examples detected", color=MUTED, fontsize=11)
    seen = "; ".join(
        f"{name}: {percent(point.clean_rejection.value)} rejected, {percent(point.detection)} detected"
        for point, name in _points(record)
    )
    return svg(drawing, f"curve{width}", _TITLE, f"Area {number(record.area)}. {seen}.")


def _points(record: RejectionRecord) -> list[tuple[OperatingPoint, str]]:
    strictest_first = sorted(record.points, key=lambda point: -(point.share or 0))
    named = [(point, f"{number(100 * (point.share or 0))} %") for point in strictest_first]
    return [*named, (record.deployed, "deployed")]


def _mark(axes: Axes, point: OperatingPoint, name: str, lift: float) -> None:
    place, height = 100 * point.clean_rejection.value, 100 * (point.detection or 0.0)
    own = point.share is None
    axes.plot([place], [height], "o", color=BREAK if own else INK, markersize=7 if own else 5)
    axes.annotate(
        name,
        (place, height),
        xytext=(9, -15 if own else lift),
        textcoords="offset points",
        color=BREAK if own else INK,
        fontsize=11,
        fontweight="bold" if own else "normal",
    )
