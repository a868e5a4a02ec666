"""How accuracy falls attack by attack: steps from left to right in a window, rows from top to bottom on a phone."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..harness.results import AttackRecord, Result
from .drawing import (
    BREAK,
    FILL,
    GATE,
    INK,
    LINE,
    MUTED,
    PHONE,
    WIDE,
    figure,
    short,
    svg,
)
from .wording import clean, count, percent, plural

MOST_STEPS = 36
"""With more attacks than that, only those that broke something are drawn."""

_DASHES = (0, (5, 3))
_TITLE = "Worst-case robust accuracy after each attack"


def staircase(result: Result, width: int) -> str:
    """Worst-case robust accuracy after each attack, from clean accuracy down, as SVG; empty without attacks."""
    ran = [record for record in result.attacks if record.attempted and math.isfinite(_after(record))]
    if not ran:
        return ""
    steps = ran if len(ran) <= MOST_STEPS else [record for record in ran if record.broken][:MOST_STEPS]
    levels = [100 * result.clean_accuracy, *(100 * _after(step) for step in steps)]
    names = ["clean", *(short(step.name, 24 if width == WIDE else 17) for step in steps)]
    if width == WIDE:
        drawing, axes = figure(width, 380)
        _draw_steps(axes, result, levels, names)
    else:
        drawing, axes = figure(PHONE, 70 + 30 * (len(levels) + 1), grid="x")
        _draw_rows(axes, result, levels, names)
    for i, step in enumerate(steps):
        _label_break(axes, i + 1, levels, step, width)
    falls = "; ".join(f"{clean(s.name)} broke {count(s.broken)}, leaving {percent(s.robust_accuracy)}" for s in steps)
    rest = f"; {plural(len(ran) - len(steps), 'attack')} not drawn" if len(ran) > len(steps) else ""
    return svg(drawing, f"stairs{width}", _TITLE, f"From {percent(result.clean_accuracy)} clean: {falls}{rest}.")


def _draw_steps(axes: Axes, result: Result, levels: list[float], names: list[str]) -> None:
    edges = [0.5 + i for i in range(len(levels) + 1)]
    axes.stairs(levels, edges, fill=True, color=FILL)
    axes.stairs(levels, edges, baseline=None, color=LINE, linewidth=2.2)
    axes.text(1, levels[0] + 1.5, percent(levels[0] / 100), ha="center", color=INK, fontsize=11)
    place = len(levels) + 0.5 + 0.022 * len(levels)
    _draw_interval(axes, result, place, upright=True)
    least = result.gate.min_robust_accuracy
    if least is not None:
        axes.axhline(100 * least, color=GATE, linewidth=1.4, linestyle=_DASHES)
        side = axes.get_yaxis_transform()
        axes.text(1.006, 100 * least, f"gate\n{percent(least)}", va="center", color=GATE, fontsize=11, transform=side)
    axes.set_xticks(range(1, len(names) + 1), names, fontsize=11 if len(names) <= 24 else 9)
    if max(map(len, names)) * 7 > (WIDE - 90) / len(names):
        for label in axes.get_xticklabels():
            label.set(rotation=32, ha="right", rotation_mode="anchor")
    axes.set_xlim(0.4, place + 0.022 * len(levels))
    axes.set_ylim(0, 108)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))


def _draw_rows(axes: Axes, result: Result, levels: list[float], names: list[str]) -> None:
    edges = [0.5 + i for i in range(len(levels) + 1)]
    axes.stairs(levels, edges, orientation="horizontal", fill=True, color=FILL)
    axes.stairs(levels, edges, orientation="horizontal", baseline=None, color=LINE, linewidth=2.2)
    axes.text(levels[0] + 2, 1, percent(levels[0] / 100), va="center", color=INK, fontsize=11)
    _draw_interval(axes, result, len(levels) + 1.0, upright=False)
    least = result.gate.min_robust_accuracy
    if least is not None:
        axes.axvline(100 * least, color=GATE, linewidth=1.4, linestyle=_DASHES)
        side = axes.get_xaxis_transform()
        text = f"gate {percent(least)}"
        axes.text(100 * least, 1.01, text, ha="center", va="bottom", color=GATE, fontsize=11, transform=side)
    axes.set_yticks(range(1, len(names) + 2), [*names, "interval"], fontsize=11)
    axes.set_ylim(len(levels) + 1.5, 0.4)
    axes.set_xlim(0, 122)
    axes.set_xticks([0, 50, 100])
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))


def _draw_interval(axes: Axes, result: Result, place: float, *, upright: bool) -> None:
    low, high = (100 * bound for bound in result.interval)
    ends, middle = ([low, high], [100 * result.robust_accuracy])
    pair, one = ([place, place], [place])
    if upright:
        axes.plot(pair, ends, "_-", color=INK, linewidth=1.6, markersize=11, markeredgewidth=1.6)
        axes.plot(one, middle, "o", color=INK, markersize=5)
    else:
        axes.plot(ends, pair, "|-", color=INK, linewidth=1.6, markersize=11, markeredgewidth=1.6)
        axes.plot(middle, one, "o", color=INK, markersize=5)


def _label_break(axes: Axes, i: int, levels: list[float], step: AttackRecord, width: int) -> None:
    text = f"\N{MINUS SIGN}{count(step.broken)}" if step.broken else "0"
    colour, weight = (BREAK, "bold") if step.broken else (MUTED, "normal")
    size = 9 if width == WIDE and len(levels) > 24 else 11
    if width == WIDE:
        axes.text(i + 1, levels[i] + 1.5, text, ha="center", color=colour, fontsize=size, fontweight=weight)
    else:
        axes.text(levels[i] + 2, i + 1, text, va="center", color=colour, fontsize=size, fontweight=weight)


def _after(record: AttackRecord) -> float:
    return math.nan if record.robust_accuracy is None else record.robust_accuracy
