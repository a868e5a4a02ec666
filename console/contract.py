"""What `robcheck inspect` found, check by check."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..harness.results import Finding, Inspection
from .findings import SEVERITIES


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
        result = Text(finding.severity, style=SEVERITIES[finding.severity])
        table.add_row(finding.code, result, said, *([Text(numbers, style="dim")] if wide else []))
    return table
