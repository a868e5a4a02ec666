"""What the plan finds of adversarial examples that surely exist."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..harness.results import Result
from ..harness.trust import PowerLevel
from .drawing import FILL, INK, LINE, MUTED, PHONE, WIDE, figure, short, svg
from .wording import clean, count, interval, percent

_TITLE = "Planted adversarial examples found"


def power(result: Result, width: int) -> str:
    """One bar per difficulty with its interval, a single step beside it, as SVG; empty where nothing was planted."""
    levels = planted(result)
    if not levels:
        return ""
    drawing, axes = figure(width, (78 if width == WIDE else 84) + 62 * len(levels), grid="x")
    for row, level in enumerate(levels):
        _row(axes, level, row, wide=width == WIDE)
    axes.set_ylim(len(levels) - 0.45, -0.72 if width == PHONE else -0.6)
    axes.set_xlim(0, 118 if width == WIDE else 126)
    axes.set_xticks([0, 25, 50, 75, 100] if width == WIDE else [0, 50, 100])
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
    names = [short(level.name, 30) for level in levels] if width == WIDE else [""] * len(levels)
    axes.set_yticks(range(len(levels)), names, color=INK, fontsize=12)
    axes.set_xlabel("share of the planted examples found", color=MUTED, fontsize=11, labelpad=6)
    seen = "; ".join(
        f"{clean(level.name)}: {count(level.found)} of {count(level.planted)} found, "
        f"one step {count(level.by_one_step)}"
        for level in levels
    )
    return svg(drawing, f"power{width}", _TITLE, f"{seen}.")


def planted(result: Result) -> list[PowerLevel]:
    """The difficulties at which anything was planted."""
    return [] if result.power is None else [level for level in result.power.levels if level.planted > 0]


def power_words(result: Result) -> str:
    """How to read the bars, with the numbers of the last, hardest level; empty where nothing was planted."""
    levels = planted(result)
    if not levels:
        return ""
    hardest = levels[-1]
    return (
        f"Of {count(hardest.planted)} adversarial examples that surely exist and are hardest to find the plan found "
        f"{count(hardest.found)} ({percent(hardest.rate)}, {interval(hardest.interval)}), a single step "
        f"{count(hardest.by_one_step)}. What an attack misses here it misses in the model too: the lower the bar, the "
        "less a standing sample says."
    )


def power_line(result: Result) -> str:
    """The same in a line: `easy 32 of 32, hard 30 of 32 (one step: 31, 2)`; empty where nothing was planted."""
    levels = planted(result)
    if not levels:
        return ""
    found = ", ".join(f"{clean(level.name)} {count(level.found)} of {count(level.planted)}" for level in levels)
    return f"{found} planted breaks found (one step: {', '.join(count(level.by_one_step) for level in levels)})"


def _row(axes: Axes, level: PowerLevel, row: int, *, wide: bool) -> None:
    share, one = (100 * min(found / level.planted, 1.0) for found in (level.found, level.by_one_step))
    axes.barh(row - 0.08, share, height=0.34, color=FILL, edgecolor=LINE, linewidth=1.6)
    axes.barh(row + 0.22, one, height=0.12, color=MUTED)
    step = f"one step {count(level.by_one_step)}"
    axes.text(one + 1, row + 0.23, step, va="center", color=MUTED, fontsize=10)
    low, high = (100 * bound for bound in level.interval)
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([low, high], [row - 0.08] * 2, "|-", color=INK, linewidth=1.4, markersize=9, markeredgewidth=1.4)
    text = f"{count(level.found)} of {count(level.planted)}"
    if wide:
        axes.text(102, row - 0.08, text, va="center", color=INK, fontsize=12, fontweight="bold")
    else:
        axes.text(0, row - 0.4, short(f"{level.name}: {text}", 40), va="center", color=INK, fontsize=12)
