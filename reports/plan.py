"""The plan as a person reads it: what runs, what was added while it ran, what is left out and what that costs."""

from collections import defaultdict
from dataclasses import dataclass

from ..harness.results import PlanEntry

DEEPEST = 3
"""So far an entry is indented at most."""


@dataclass(frozen=True)
class PlanLine:
    """One entry that runs."""

    entry: PlanEntry
    depth: int = 0
    """0 as planned; 1 and more: added during the run, under the entry that it revises."""


@dataclass(frozen=True)
class LeftOut:
    """Entries that do not run for one reason."""

    names: list[str]
    reason: str
    cost: str
    """What that costs in trust; empty where it is nothing."""


def plan_lines(plan: list[PlanEntry]) -> list[PlanLine]:
    """Every entry that runs, in order; what was added during the run stands under what it revises."""
    running = [entry for entry in plan if entry.runs]
    known = {entry.name for entry in running}
    below: dict[str, list[PlanEntry]] = defaultdict(list)
    for entry in running:
        below[entry.revises if entry.revises in known else ""].append(entry)
    # What it revises may be left out or unknown: it was added during the run all the same.
    waiting = [PlanLine(entry, 1 if entry.revises else 0) for entry in reversed(below[""])]
    # Entries that revise each other in a circle have no first one: they come last.
    waiting = [PlanLine(entry, 1) for entry in reversed(running)] + waiting
    lines: list[PlanLine] = []
    seen: set[int] = set()
    while waiting:
        line = waiting.pop()
        if id(line.entry) in seen:
            continue
        seen.add(id(line.entry))
        lines.append(line)
        depth = min(line.depth + 1, DEEPEST)
        waiting += [PlanLine(child, depth) for child in reversed(below[line.entry.name])]
    return lines


def left_out(plan: list[PlanEntry]) -> list[LeftOut]:
    """What does not run, those of one reason together, those that cost trust first."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for entry in plan:
        if not entry.runs:
            grouped.setdefault((entry.reason, entry.cost), []).append(entry.name)
    lines = [LeftOut(names, reason, cost) for (reason, cost), names in grouped.items()]
    return sorted(lines, key=lambda line: not line.cost)
