"""How far the number can be trusted, a line for each kind of evidence that there is."""

from rich.console import Console
from rich.text import Text

from ..harness.results import Result
from ..harness.trust import Waiver
from ..reports.bounds import certified_words, grid_words, on_grid
from ..reports.controls import tally
from ..reports.indicators import indicator_tally
from ..reports.judging import regression_line, sequential_words
from ..reports.power import power_line
from ..reports.wording import percent
from .rows import show_row

_WAIVERS = {"applied": "", "unused": "dim", "expired": "bold red", "refused": "bold red"}


def show_trust(console: Console, result: Result) -> None:
    """Certified and 8-bit accuracy, power, evidence, controls, waivers, baseline, stopping: those that are there."""
    if result.grid is not None and not on_grid(result):
        show_row(console, "8-bit accuracy", f"{percent(result.grid.robust_accuracy)} ({grid_words(result)})")
    if result.certified is not None:
        show_row(console, "certified", certified_words(result), "bold red" if result.certified.contradicted else "")
    if line := power_line(result):
        show_row(console, "power", line)
    if line := indicator_tally(result):
        show_row(console, "evidence", line)
    _controls(console, result)
    if line := regression_line(result):
        show_row(console, "baseline", line)
    if line := sequential_words(result):
        show_row(console, "stopping", line)
    for i, waiver in enumerate(result.waivers):
        show_row(console, "" if i else "waivers", _waiver(waiver))


def _controls(console: Console, result: Result) -> None:
    if result.controls_level == "none":
        show_row(console, "controls", "switched off: nothing tested the attacks themselves", "yellow")
    elif result.controls:
        until = "" if result.complete else ", until the run ended early"
        bad = any(control.status == "failed" or control.fell for control in result.controls)
        show_row(
            console, "controls", f"{result.controls_level}, {tally(result.controls)}{until}", "yellow" if bad else ""
        )


def _waiver(waiver: Waiver) -> Text:
    ends = "ended" if waiver.status == "expired" else "until"
    return Text(f"{waiver.code} {waiver.status}, {ends} {waiver.expires}: {waiver.reason}", _WAIVERS[waiver.status])
