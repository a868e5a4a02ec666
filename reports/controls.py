"""The control experiments in words: what ran, what failed, what fell to them."""

from ..harness.results import ControlRecord, Result
from .wording import plural


def controls_words(result: Result) -> str:
    """How many ran at which level, which failed, and whose points broke samples that all attacks had left."""
    if result.controls_level == "none":
        return "Control experiments were switched off: nothing tested the attacks themselves."
    if not result.controls:
        return f"Level {result.controls_level}: no control experiment was made."
    until = "" if result.complete else ", until the run ended early"
    return f"Level {result.controls_level}: {tally(result.controls)}{until}."


def tally(controls: list[ControlRecord]) -> str:
    """`12 of 15 experiments ran, 2 skipped, 1 failed (random); ...`, and which broke samples."""
    by = {status: [c.name for c in controls if c.status == status] for status in ("ok", "skipped", "failed")}
    counted = [f"{len(by['ok'])} of {plural(len(controls), 'experiment')} ran"]
    if by["skipped"]:
        counted.append(f"{len(by['skipped'])} skipped")
    if by["failed"]:
        counted.append(f"{len(by['failed'])} failed ({', '.join(by['failed'])})")
    words = ", ".join(counted)
    finders = [f"{c.name} broke {plural(c.fell, 'sample')}" for c in controls if c.fell]
    if finders:
        words += f"; {', '.join(finders)} that every attack had left standing, and the worst case counts them"
    return words


def passes(record: ControlRecord) -> int:
    """Forward and backward together."""
    return record.forward + record.backward
