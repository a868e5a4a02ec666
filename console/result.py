"""The summary after an evaluation."""

from rich.console import Console
from rich.text import Text

from ..harness.results import Result
from ..reports.bounds import on_grid
from ..reports.caveat import SHORT, taken
from ..reports.detector import detector_line
from ..reports.draws import draw_words
from ..reports.waivers import waived_words
from .detector import points_table
from .draws import draws_table
from .findings import finding_text
from .rows import show_paragraph, show_row
from .trust import show_trust

_COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "NO_GATE": "cyan"}


def show_result(console: Console, result: Result) -> None:
    """Findings, numbers, how far they can be trusted, verdict."""
    console.print()
    for finding in result.findings:
        show_paragraph(console, finding_text(finding, waived_words(finding)))
    if not result.complete:
        console.print(Text("The run was interrupted: the numbers cover what was done until then.", style="yellow"))
    _headline(console, result)
    show_trust(console, result)
    if result.stochastic_report is not None:
        console.print(draws_table(result))
        console.print(Text(draw_words(result), style="dim"))
    if result.rejection is not None:
        console.print(points_table(result))
        console.print(Text(detector_line(result), style="dim"))
    show_row(console, "cost", cost_text(result), "dim")
    show_paragraph(
        console, Text.assemble((result.verdict, f"bold {_COLOURS[result.verdict]}"), f"  {result.explanation}")
    )


def _headline(console: Console, result: Result) -> None:
    low, high = result.interval
    where = " on the 8-bit pixel grid" if on_grid(result) else ""
    said = Text.assemble(
        (f"{result.robust_accuracy:.1%}", "bold"),
        f" (worst case over all attacks{where}; {result.gate.confidence:.0%} interval {low:.1%} to {high:.1%})",
    )
    show_row(console, "robust accuracy", said)
    show_row(console, "", SHORT, "dim")
    clean = f"{result.clean_accuracy:.1%} on {taken(result):,} samples"
    show_row(console, "clean accuracy", f"{clean}, {threat_text(result)}, suite {result.suite}")


def cost_text(result: Result) -> str:
    """Passes per sample and seconds."""
    passes, samples = result.passes, max(1, len(result.samples))
    return (
        f"{passes.forward / samples:,.0f} forward and {passes.backward / samples:,.0f} backward passes per sample, "
        f"{result.seconds:.0f} s on {result.environment.device}"
    )


def threat_text(result: Result) -> str:
    """The threat model in a few words."""
    threat = result.threat
    if threat.box:
        return "per-feature box" + (", targeted" if threat.targeted else "")
    eps = threat.epsilon
    size = f"{eps[0]:.4g} to {eps[1]:.4g}" if isinstance(eps, tuple) else f"{eps:.4g}"
    return f"{threat.norm} eps {size}" + (", targeted" if threat.targeted else "")
