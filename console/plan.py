"""The plan as a table."""

from rich.table import Table
from rich.text import Text

from ..harness.results import PlanEntry


def plan_table(plan: list[PlanEntry]) -> Table:
    """The plan: which attack on what gradient, how it climbs, and why; what is left out for one reason shares a row at
    the end, with what that costs in trust; a reason that is the one before is told once."""
    table = Table(title="Plan", title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column("attack", overflow="fold", max_width=20)
    table.add_column("gradient", overflow="fold", max_width=17)
    table.add_column("climbs, steps", overflow="fold", max_width=16)
    table.add_column("why", overflow="fold", ratio=1)
    before = ""
    left_out: dict[tuple[str, str], list[str]] = {}
    for entry in plan:
        if not entry.runs:
            left_out.setdefault((entry.reason, entry.cost), []).append(entry.name)
            continue
        said = Text("as above", style="dim") if entry.reason == before else Text(entry.reason)
        before = entry.reason
        table.add_row(entry.name, gradient_text(entry), _climb(entry), said)
    for (reason, cost), names in left_out.items():
        why = Text(reason, style="dim")
        if cost:
            why.append(f"; costs trust: {cost}", style="not dim yellow")
        table.add_row(Text(", ".join(names), style="dim"), Text("left out", style="dim"), "", why)
    return table


def gradient_text(entry: PlanEntry) -> str:
    """What its questions are answered by: a gradient and its draws, or answers alone."""
    if entry.gradient is None:
        return entry.answers or "-"
    return entry.gradient + (f" x {entry.eot} draws" if entry.eot > 1 else "")


def _climb(entry: PlanEntry) -> str:
    """Loss, step rule and momentum, of those that it has."""
    momentum = f"momentum {entry.momentum:g}" if entry.momentum else ""
    return ", ".join(part for part in (entry.loss, entry.step_size, momentum) if part)
