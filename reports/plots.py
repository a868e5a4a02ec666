"""The two figures: how accuracy falls attack by attack, and how far the breaks lie from their samples."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..harness.results import AttackRecord, Result
from .drawing import BREAK, FILL, GATE, GRID, INK, LINE, MUTED, figure, svg
from .wording import clean, count, norm, percent, plural

WIDE, PHONE = 1040, 340
_NARROW = 600
_MOST_STEPS = 36
_FEWEST_BREAKS = 8


def staircase(result: Result, width: int) -> str:
    """Worst-case robust accuracy after each attack, from clean accuracy down, as SVG; empty without attacks."""
    steps, left_out = _steps(result.attacks)
    if not steps:
        return ""
    drawing, axes = figure(width, 380 if width > _NARROW else 400)
    levels = [result.clean_accuracy, *map(_after, steps)]
    edges = [0.5 + i for i in range(len(levels) + 1)]
    axes.stairs([100 * level for level in levels], edges, fill=True, color=FILL)
    axes.stairs([100 * level for level in levels], edges, baseline=None, color=LINE, linewidth=2.2)
    crowded = len(levels) * 34 > width - 60
    axes.text(1, 100 * levels[0] + 1.5, _level(levels[0], crowded), ha="center", color=INK, fontsize=11)
    for i, step in enumerate(steps):
        _label_step(axes, i, levels, step, crowded)
    _end_interval(axes, result, len(levels))
    _gate_line(axes, result)
    _name_steps(axes, ["clean", *(_short(step.name) for step in steps)], width)
    axes.set_xlim(0.4, len(levels) + (1.1 if width > _NARROW else 0.95))
    axes.set_ylim(0, 108)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
    falls = "; ".join(f"{clean(s.name)} broke {count(s.broken)}, leaving {percent(s.robust_accuracy)}" for s in steps)
    if left_out:
        falls += f"; {plural(left_out, 'attack')} that broke nothing not drawn"
    start = f"From {percent(result.clean_accuracy)} clean accuracy: {falls}."
    return svg(drawing, f"stairs{width}", "Worst-case robust accuracy after each attack", start)


def histogram(result: Result, width: int) -> str:
    """How far the breaks lie from their samples, as SVG; empty where the distances hardly differ or are few."""
    found = [s.distance for s in result.samples if s.outcome == "broken" and s.distance is not None]
    far = [distance for distance in found if 0 <= distance < float("inf")]
    if len(far) < _FEWEST_BREAKS or max(far) - min(far) < 0.05 * max(far):
        return ""
    drawing, axes = figure(width, 220 if width > _NARROW else 240)
    top = max(far)
    if isinstance(result.threat.epsilon, float) and 0 < result.threat.epsilon < 2 * top:
        top = max(top, result.threat.epsilon)
        axes.axvline(result.threat.epsilon, color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    axes.hist(far, bins=40 if width > _NARROW else 20, range=(0.0, top), color=LINE, rwidth=0.86)
    axes.set_xlim(0, top * 1.01)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(8 if width > _NARROW else 4))
    axes.set_xlabel(
        f"{_short(norm(result.threat))} distance from the clean sample", color=MUTED, fontsize=11, labelpad=6
    )
    axes.set_ylabel("samples", color=MUTED, fontsize=11)
    middle = sorted(far)[len(far) // 2]
    text = f"{plural(len(far), 'break')}: nearest {min(far):.4g}, median {middle:.4g}, farthest {max(far):.4g}."
    return svg(drawing, f"far{width}", "Distances of the breaks", text)


def _steps(attacks: Sequence[AttackRecord]) -> tuple[list[AttackRecord], int]:
    # Attacks that ran, in order; where they are too many to draw, those that broke something.
    ran = [record for record in attacks if record.attempted and math.isfinite(_after(record))]
    drawn = ran if len(ran) <= _MOST_STEPS else [record for record in ran if record.broken][:_MOST_STEPS]
    return drawn, len(ran) - len(drawn)


def _after(record: AttackRecord) -> float:
    return math.nan if record.robust_accuracy is None else record.robust_accuracy


def _name_steps(axes: Axes, names: list[str], width: int) -> None:
    axes.set_xticks(range(1, len(names) + 1), names, fontsize=11 if len(names) <= 24 else 9)
    flat = width > _NARROW and max(map(len, names)) * 7 < (width - 60) / len(names)
    for label in axes.get_xticklabels():
        if width <= _NARROW:
            label.set_rotation(90)
        elif not flat:
            label.set(rotation=32, ha="right", rotation_mode="anchor")


def _label_step(axes: Axes, i: int, levels: list[float], step: AttackRecord, crowded: bool) -> None:
    if step.broken:
        text = f"\N{MINUS SIGN}{count(step.broken)}"
        size = 9 if crowded else 11
        axes.text(i + 2, 100 * levels[i + 1] + 1.5, text, ha="center", color=BREAK, fontsize=size, fontweight="bold")
    elif not crowded:
        axes.text(i + 2, 100 * levels[i + 1] + 1.5, "0", ha="center", color=MUTED, fontsize=11)


def _end_interval(axes: Axes, result: Result, steps: int) -> None:
    low, high = (100 * bound for bound in result.interval)
    x = steps + 0.72
    axes.plot([x, x], [low, high], color=INK, linewidth=1.6, solid_capstyle="butt")
    for bound in (low, high):
        axes.plot([x - 0.07, x + 0.07], [bound, bound], color=INK, linewidth=1.6)
    axes.plot([x], [100 * result.robust_accuracy], "o", color=INK, markersize=5)


def _gate_line(axes: Axes, result: Result) -> None:
    least = result.gate.min_robust_accuracy
    if least is None:
        axes.axhline(0, color=GRID)
        return
    axes.axhline(100 * least, color=GATE, linewidth=1.4, linestyle=(0, (5, 3)))
    text = f"gate {percent(least)}"
    axes.text(0.995, 100 * least + 1.2, text, ha="right", color=GATE, fontsize=11, transform=axes.get_yaxis_transform())


def _level(level: float, crowded: bool) -> str:
    return f"{100 * level:.0f} %" if crowded else percent(level)


def _short(name: str) -> str:
    text = " ".join(clean(name).split())
    return text if len(text) <= 24 else text[:23] + "\N{HORIZONTAL ELLIPSIS}"
