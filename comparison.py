"""The command that sets two results against each other; heavy imports wait until it runs."""

from pathlib import Path
from typing import Annotated

import typer

from .options import GateOn

VERDICT_EXIT = {"PASS": 0, "NO_GATE": 0, "FAIL": 1, "INCONCLUSIVE": 3}

_Result = Annotated[Path, typer.Argument(show_default=False, help="result.json of an evaluation.")]


def compare(
    old: _Result,
    new: _Result,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    max_regression: Annotated[
        float | None,
        typer.Option(help="Largest loss of robust accuracy that passes.", min=0, max=1, show_default=False),
    ] = None,
    on: Annotated[GateOn, typer.Option(help="Hold the interval or the measured change against it.")] = GateOn.interval,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
) -> None:
    """What changed from one evaluation to another of the same samples: accuracies, attacks, samples, versions."""
    from .arguments import as_confidence
    from .console import make_console
    from .console.comparison import show_comparison
    from .harness.comparing import compare as compared
    from .harness.results import Gate
    from .reports import read_json

    gate = Gate(max_regression=max_regression, on=on.value, confidence=as_confidence(confidence))
    found = compared(read_json(old), read_json(new), gate, names=(str(old), str(new)))
    if json:
        print(found.model_dump_json(indent=1))
    else:
        show_comparison(make_console(), found)
    raise typer.Exit(VERDICT_EXIT[found.verdict])
