"""Findings, one paragraph each."""

from rich.text import Text

from ..harness.results import Finding

SEVERITIES = {"ok": "green", "info": "dim", "warning": "yellow", "severe": "bold red"}


def finding_text(finding: Finding, waived: str = "") -> Text:
    """Code and severity, what was seen, what to do; why it does not count where it is waived."""
    style = "yellow" if waived else SEVERITIES[finding.severity]
    text = Text.assemble((f"{finding.code} ({finding.severity})", style), f" {finding.message}")
    if finding.remedy:
        text.append(f" {finding.remedy}", style="dim")
    return text.append(f" [{waived}]", style="yellow") if waived else text
