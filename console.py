"""What a person sees while an evaluation runs, and the summary after it."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .harness.model_info import ModelInfo, Rejection
from .harness.results import AttackRecord, Finding, Inspection, PlanEntry, Result
from .reports.detector import detector_line, point_lines
from .reports.draws import draw_lines, draw_words

_COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "NO_GATE": "cyan"}
_SEVERITIES = {"ok": "green", "info": "dim", "warning": "yellow", "severe": "bold red"}
_MARKS = {"ok": "", "idle": "nothing stood", "not_applicable": "does not apply"}


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
        self.task = self.bars.add_task(what, total=passes, samples=f"{samples:,} samples", state=self.state)

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
            self.console.print(attack_line(record))


def attack_line(record: AttackRecord) -> Text:
    """What an attack did, in a line."""
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
    return text.append(f"   {record.forward + record.backward:>12,} passes {record.seconds:7.1f} s", style="dim")


def plan_table(plan: list[PlanEntry]) -> Table:
    """The plan: which attack on what gradient, and why; what is left out for one reason shares a row at the end."""
    table = Table(title="Plan", title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column("attack", overflow="fold", max_width=30)
    for column in ("gradient", "why"):
        table.add_column(column, overflow="fold")
    left_out: dict[str, list[str]] = {}
    for entry in plan:
        if not entry.runs:
            left_out.setdefault(entry.reason, []).append(entry.name)
            continue
        gradient = (
            "-" if entry.gradient is None else entry.gradient + (f" x {entry.eot} draws" if entry.eot > 1 else "")
        )
        table.add_row(entry.name, gradient, entry.reason)
    for reason, names in left_out.items():
        table.add_row(", ".join(names), "left out", reason, style="dim")
    return table


def show_result(console: Console, result: Result) -> None:
    """Findings, numbers, verdict."""
    console.print()
    for finding in result.findings:
        console.print(finding_text(finding))
    if not result.complete:
        console.print(Text("The run was interrupted: the numbers cover what was done until then.", style="yellow"))
    low, high = result.interval
    console.print(
        Text.assemble(
            ("robust accuracy ", ""),
            (f"{result.robust_accuracy:.1%}", "bold"),
            (f" (worst case over all attacks; {result.gate.confidence:.0%} interval {low:.1%} to {high:.1%})", ""),
        )
    )
    n = len(result.samples)
    console.print(
        Text(
            f"clean accuracy  {result.clean_accuracy:.1%} on {n:,} samples, {threat_text(result)}, suite {result.suite}"
        )
    )
    if result.stochastic_report is not None:
        console.print(draws_table(result))
        console.print(Text(draw_words(result), style="dim"))
    if result.rejection is not None:
        console.print(points_table(result))
        console.print(Text(detector_line(result), style="dim"))
    passes = result.passes
    console.print(
        Text(
            f"cost            {passes.forward / n:,.0f} forward and {passes.backward / n:,.0f} backward passes "
            f"per sample, {result.seconds:.0f} s on {result.environment.device}",
            style="dim",
        )
    )
    console.print(
        Text.assemble((f"{result.verdict}", f"bold {_COLOURS[result.verdict]}"), (f"  {result.explanation}", ""))
    )


def points_table(result: Result) -> Table:
    """A detector at its thresholds."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("threshold", no_wrap=True)
    for column in ("clean accuracy", "clean rejection", "attacked", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in point_lines(result):
        robust = line.point.robust_accuracy
        table.add_row(
            line.name.lower(),
            f"{line.point.clean_accuracy.value:.1%}",
            f"{line.point.clean_rejection.value:.1%}",
            f"{robust.value:.1%}",
            f"{robust.interval[0]:.1%} to {robust.interval[1]:.1%}",
        )
    return table


def draws_table(result: Result) -> Table:
    """A random target's accuracies, clean beside robust."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("accuracy", no_wrap=True)
    for column in ("clean", "interval", "attacked", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in draw_lines(result):
        cells = [
            text
            for found in (line.clean, line.robust)
            for text in (f"{found.value:.1%}", f"{found.interval[0]:.1%} to {found.interval[1]:.1%}")
        ]
        table.add_row(line.name.lower(), *cells)
    return table


def finding_text(finding: Finding) -> Text:
    """Code, what was seen, what to do."""
    style = _SEVERITIES[finding.severity]
    return Text.assemble((f"{finding.code} ", style), f"{finding.message} ", (finding.remedy, "dim"))


def show_contract(console: Console, found: Inspection) -> None:
    """On what it was asked, every check, and what would fit better."""
    samples = f"{found.samples:,} {'samples' if found.labelled else 'random samples, no labels'}"
    right = "" if found.clean_accuracy is None else f", {found.clean_accuracy:.1%} of them right"
    console.print()
    console.print(Text.assemble(("Contract", "bold"), f" on {samples}{right}"))
    console.print(contract_table(found.contract, wide=console.width >= 100))
    if not found.labelled:
        console.print(Text("Give --data to judge the model on samples of its own kind.", style="dim"))
    if found.proposal:
        console.print(Text(f"proposal: {found.proposal}", style="yellow"))


def contract_table(contract: list[Finding], *, wide: bool = True) -> Table:
    """Check by check: what it says, the numbers (in a column of their own on a wide terminal), what to do."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("what was seen, what to do", ratio=1)
    if wide:
        table.add_column("measured / threshold", justify="right", no_wrap=True)
    for finding in contract:
        numbers = "" if finding.measured is None else f"{finding.measured:.3g} / {finding.threshold or 0:.3g}"
        said = Text(finding.message)
        if numbers and not wide:
            said.append(f" [{numbers}]", style="dim")
        if finding.remedy:
            said.append(f" {finding.remedy}", style="dim")
        result = Text(finding.severity, style=_SEVERITIES[finding.severity])
        table.add_row(finding.code, result, said, *([Text(numbers, style="dim")] if wide else []))
    return table


def threat_text(result: Result) -> str:
    """The threat model in a few words."""
    threat = result.threat
    if threat.box:
        return "per-feature box" + (", targeted" if threat.targeted else "")
    eps = threat.epsilon
    size = f"{eps[0]:.4g} to {eps[1]:.4g}" if isinstance(eps, tuple) else f"{eps:.4g}"
    return f"{threat.norm} eps {size}" + (", targeted" if threat.targeted else "")


def info_table(info: ModelInfo) -> Table:
    """What the adapter sees."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    twin = "yes" if info.twin.available else f"no: {info.twin.reason}"
    if info.twin.parity is not None:
        twin += (
            f" (differs by at most {info.twin.parity:.1e} of {info.twin.scale or 0:.3g} on {info.twin.samples} samples)"
        )
    rows = {
        "model": f"{info.name} ({info.format}{f', opset {info.opset}' if info.opset else ''})",
        "input": f"{info.input_shape or 'open'} in [{info.bounds[0]:g}, {info.bounds[1]:g}], "
        f"batch {info.batch or 'any'}",
        "normalisation": "none" if info.mean is None else f"mean {info.mean}, std {info.std}",
        "output": f"{info.output}, {info.classes or 'unknown number of'} classes",
        "rejection": rejection_text(info.rejection),
        "gradients": twin,
        "obstacles": "; ".join(f"{k}: {v}" for k, v in info.obstacles.items()) or "none",
        "missing operators": ", ".join(info.missing_operators) or "none",
        "operators": ", ".join(f"{k} x {v}" for k, v in sorted(info.operators.items())) or "not a graph",
        "runs on": f"{info.device}{f' ({info.provider})' if info.provider else ''}",
        "sha256": info.sha256 or "-",
        "trust": info.trust,
        "notes": "; ".join(info.notes) or "none",
    }
    for key, value in rows.items():
        table.add_row(key, Text(value))
    return table


def rejection_text(found: Rejection | None) -> str:
    """When the model refuses to answer, and how its twin was compared."""
    if found is None:
        return "none"
    text = f"output {found.output!r} above {found.above:g}"
    if found.unit == "log-odds":
        text += ", in log-odds (it ends in a sigmoid)"
    if found.parity is None:
        return text
    off = f"differs on {found.parity:.1%} of the samples" if found.unit == "whole" else f"differs by {found.parity:.1e}"
    return f"{text} (the twin {off}, of scores up to {found.scale or 0:.3g})"


def make_console(*, quiet: bool = False) -> Console:
    """A console on standard output; nothing but errors when quiet."""
    return Console(quiet=quiet, highlight=False, width=None if sys.stdout.isatty() else 120)
