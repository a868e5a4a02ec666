"""What a person sees while an evaluation runs."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..harness.results import AttackRecord, PlanEntry
from .plan import plan_table

_MARKS = {"idle": "nothing stood", "not_applicable": "does not apply"}


class ProgressBars:
    """Observer with a live bar per attack on a terminal and plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal
        self.bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[samples]}"),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None
        self.state = ""
        self.left_out: set[str] = set()
        self.pending = 0
        """Passes not yet drawn."""
        self.drawn = 0.0

    def __enter__(self) -> "ProgressBars":
        if self.live:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.bars.stop()

    def planned(self, plan: list[PlanEntry]) -> None:
        """Show the plan before anything runs."""
        self.left_out = {entry.name for entry in plan if not entry.runs}
        self.console.print(plan_table(plan))

    def clean(self, accuracy: float, classes: int, samples: int) -> None:
        """One line for the clean pass."""
        self.console.print(Text(f"  {'clean':<20} {accuracy:.1%} of {samples:,} samples right, {classes} classes"))

    def started(self, what: str, samples: int, passes: int) -> None:
        """A bar for this phase, measured in passes through the model."""
        if not self.live:
            return
        if self.task is not None:
            self.bars.remove_task(self.task)
        self.pending = 0
        told = f"{samples:,} samples" if samples else ""  # a control experiment says neither beforehand
        self.task = self.bars.add_task(what, total=passes or None, samples=told, state=self.state)

    def advanced(self, standing: int, robust_accuracy: float) -> None:
        """The worst case so far, beside the bar."""
        self.state = f"{standing:,} standing, worst case {robust_accuracy:.1%}"
        self._draw()

    def passed(self, passes: int) -> None:
        """Passes move the bar, a few times a second."""
        self.pending += passes
        if time.monotonic() - self.drawn > 0.2:
            self._draw()

    def _draw(self) -> None:
        if self.live and self.task is not None:
            self.drawn = time.monotonic()
            self.bars.update(self.task, advance=self.pending, state=self.state)
            self.pending = 0

    def finished(self, record: AttackRecord) -> None:
        """One line per attack; of those that mean nothing here the plan has told."""
        if record.status != "not_applicable" or record.name not in self.left_out:
            self.console.print(attack_line(record, self.console.width))


def attack_line(record: AttackRecord, width: int = 120) -> Text:
    """What an attack did, in a line; passes and time where there is room for them."""
    text = Text(f"  {record.name:<20} ")
    if record.status == "idle":
        return text.append(_MARKS["idle"], style="dim")
    if record.status == "not_applicable":
        return text.append(f"{_MARKS['not_applicable']}: {record.reason}", style="dim")
    if record.status != "ok":
        return text.append(f"{record.status}: {record.reason}", style="yellow")
    text.append(f"broke {record.broken:>5,} of {record.attempted:>5,}   ")
    if record.robust_accuracy is not None:
        text.append("worst case ")
        text.append(f"{record.robust_accuracy:6.1%}", style="bold")
    for more in (f"  {record.forward + record.backward:>10,} passes", f" {record.seconds:7.1f} s"):
        if len(text) + len(more) > width:
            break
        text.append(more, style="dim")
    return text
