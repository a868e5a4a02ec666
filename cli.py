"""The command line: the roof under which adapters, suites, harness and reports meet."""

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from . import __version__
from .harness.errors import RobcheckError, UnfinishedError, UsageError
from .options import (
    Data,
    DataRange,
    Device,
    ExpectAccuracy,
    GateOn,
    Kind,
    LayoutOption,
    Mean,
    Model,
    Norms,
    Range,
    Resize,
    Std,
    Trust,
    Weights,
    check_writable,
    data_record,
    number,
    open_data,
    open_model,
    undisturbed,
    write_all,
)

app = typer.Typer(
    name="robcheck",
    help="How often is a classifier still right when an adversary who knows everything attacks it?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Newer typer carries its own click, older typer shares the package; this is the base of usage errors in both.
_UsageProblem: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

_INTERRUPTED = 130
"""What typer makes of a KeyboardInterrupt."""
_VERDICT_EXIT = {"PASS": 0, "NO_GATE": 0, "FAIL": 1, "INCONCLUSIVE": 3}
_EXITS = (
    "Exit codes: 0 pass or no gate, 1 gate failed, 2 usage or configuration, 3 inconclusive, 4 model or data cannot be "
    "used, 5 the run could not finish (what was computed is kept), 70 internal error, 130 and 143 interrupted."
)

_INSPECT_EXITS = (
    "Exit codes: 0 looked at, 2 usage or configuration, 3 a severe finding stands, 4 model or data cannot be used."
)


@app.command(epilog=_EXITS)
def evaluate(
    model: Model,
    data: Data = None,
    suite: Annotated[str, typer.Option(help="quick, standard, adaptive, or a YAML file.")] = "adaptive",
    norm: Annotated[
        Norms | None, typer.Option(help="Norm of the perturbation; the suite's unless given.", show_default=False)
    ] = None,
    epsilon: Annotated[
        str | None, typer.Option(help="Radius in [0, 1] pixel units, such as 8/255 or 0.3.", show_default=False)
    ] = None,
    samples: Annotated[
        int, typer.Option(help="How many samples, drawn with the seed.", min=1, rich_help_panel="Data")
    ] = 1000,
    device: Device = "auto",
    min_robust_accuracy: Annotated[
        float | None,
        typer.Option(
            help="The gate: least worst-case robust accuracy.", min=0, max=1, show_default=False, rich_help_panel="Gate"
        ),
    ] = None,
    gate_on: Annotated[
        GateOn | None,
        typer.Option(
            help="Hold the interval or the point estimate against it.", show_default=False, rich_help_panel="Gate"
        ),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Of the interval.", show_default=False, rich_help_panel="Gate")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder for report.html, result.json and junit.xml.")] = Path(
        "robcheck-report"
    ),
    defense: Annotated[
        list[str] | None,
        typer.Option(
            help="A built-in defense in front of the model: jpeg:quality=75. May be repeated.", show_default=False
        ),
    ] = None,
    weights: Weights = None,
    value_range: Range = None,
    mean: Mean = None,
    std: Std = None,
    layout: LayoutOption = None,
    trust_code: Trust = False,
    data_range: DataRange = None,
    resize: Resize = None,
    expect_accuracy: ExpectAccuracy = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per model call.", min=1, show_default=False)] = None,
    max_passes: Annotated[
        int | None, typer.Option(help="Budget of passes for all attacks together.", min=1, show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Attack MODEL with every attack of a suite and report worst-case robust accuracy."""
    from . import reports
    from .adapters.contract import contract_observer
    from .api import evaluate as run_evaluation
    from .console import ProgressBars, make_console, show_result
    from .suites import load_suite

    console = make_console(quiet=quiet)
    chosen = load_suite(suite)
    radius = number("--epsilon", epsilon)
    check_writable(out)
    classifier = open_model(model, weights, value_range, mean, std, layout, trust_code, device)
    loaded = open_data(model, data, classifier, samples, seed, data_range, layout, resize)
    bars = ProgressBars(console)
    failed: UnfinishedError | None = None
    with bars:
        try:
            result = run_evaluation(
                classifier,
                loaded.x,
                loaded.y,
                suite=chosen,
                norm=None if norm is None else norm.value,
                epsilon=radius,
                defenses=defense or [],
                min_robust_accuracy=min_robust_accuracy,
                gate_on=None if gate_on is None else gate_on.value,
                confidence=confidence,
                seed=seed,
                device=device,
                batch_size=batch_size,
                max_passes=max_passes,
                expect_accuracy=expect_accuracy,
                ids=loaded.ids,
                data=data_record(loaded),
                class_names=loaded.class_names,
                observer=contract_observer(bars, classifier, loaded.x, loaded.y),
            )
        except UnfinishedError as error:
            if error.result is None:
                raise
            failed, result = error, error.result
    show_result(console, result)
    with undisturbed():
        written = write_all(reports, result, out)
    for path in written:
        console.print(f"wrote {path}", style="dim", soft_wrap=True)
    if failed is not None:
        raise failed
    if not result.complete:
        raise KeyboardInterrupt
    raise typer.Exit(_VERDICT_EXIT[result.verdict])


@app.command(epilog=_INSPECT_EXITS)
def inspect(
    model: Model,
    data: Data = None,
    samples: Annotated[
        int, typer.Option(help="How many samples, drawn with the seed.", min=1, rich_help_panel="Data")
    ] = 64,
    expect_accuracy: ExpectAccuracy = None,
    epsilon: Annotated[str, typer.Option(help="Linf radius in which gradients have to lead uphill.")] = "8/255",
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    weights: Weights = None,
    value_range: Range = None,
    mean: Mean = None,
    std: Std = None,
    layout: LayoutOption = None,
    trust_code: Trust = False,
    data_range: DataRange = None,
    resize: Resize = None,
    device: Device = "auto",
) -> None:
    """What the adapter sees of MODEL, and whether MODEL keeps the contract that every evaluation rests on.

    Without DATA the samples are random and the labels the model's own answers: accuracy is then not judged.
    """
    from .api import inspect as look
    from .console import info_table, make_console, show_contract

    console = make_console()
    radius = number("--epsilon", epsilon)
    classifier = open_model(model, weights, value_range, mean, std, layout, trust_code, device)
    x = y = None
    if data is not None or model.startswith("embedded:"):
        loaded = open_data(model, data, classifier, samples, seed, data_range, layout, resize)
        x, y = loaded.x, loaded.y
    elif expect_accuracy is not None:
        raise UsageError("--expect-accuracy needs labelled samples: give --data")
    elif classifier.info.input_shape is None:
        console.print(info_table(classifier.info))
        console.print("\nThe model does not say which shape its samples have, so nothing was asked: give --data.")
        return
    found = look(
        classifier, x, y, samples=samples, epsilon=radius, expect_accuracy=expect_accuracy, seed=seed, device=device
    )
    console.print(info_table(found.model))
    show_contract(console, found)
    raise typer.Exit(0 if found.sound else 3)


@app.command(name="list")
def list_(kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)]) -> None:
    """List attacks, defenses or suites."""
    from .catalogue import catalogue
    from .console import make_console

    make_console().print(catalogue(kind.value))


@app.command()
def describe(name: Annotated[str, typer.Argument(help="An attack, a defense or a suite.", show_default=False)]) -> None:
    """Parameters, defaults and sources of an attack, a defense or a suite."""
    from .catalogue import description
    from .console import make_console

    console = make_console()
    for part in description(name):
        console.print(part)


def _version(value: bool) -> None:
    if value:
        print(f"robcheck {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """How often is a classifier still right when an adversary who knows everything attacks it?"""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C."""


def _terminate(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    global _terminated
    _terminated = True
    raise _Terminated


_terminated = False


def main() -> None:
    """Run the command line and turn every outcome into one sentence and one exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_guarded())


def _guarded() -> int:
    try:
        code = app(standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except _UsageProblem as error:
        text: str = error.format_message()  # type: ignore[attr-defined]
        if type(error).__name__ == "NoArgsIsHelpError":
            print(text)
            return 2
        return _complain(f"{text.rstrip('.')}; see robcheck --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(
            "interrupted; what was computed until then is in the reports", 143 if _terminated else _INTERRUPTED
        )
    except RobcheckError as error:
        return _complain(str(error), error.exit_code)
    except MemoryError:
        return _complain("out of memory; give a smaller --batch-size or fewer --samples", 5)
    except (Exception, SystemExit) as error:
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            # whoever read the output (head, a pager) has seen enough; Python must not try to flush the rest
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            return _INTERRUPTED
        traceback.print_exc()
        return _complain("internal error: please report the lines above", 70)


def _complain(sentence: str, code: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"robcheck: {sentence}", markup=False)
    return code


__all__ = ["app", "main"]
