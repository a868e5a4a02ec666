"""What the commands do; heavy imports wait until one of them runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .grouping import grouped
from .harness.errors import UnfinishedError, UsageError
from .options import (
    Epsilon,
    EvaluationData,
    GateOptions,
    InspectionData,
    Kind,
    Model,
    ModelOptions,
    Norm,
    Seed,
    Suite,
    TrustOptions,
    number,
)
from .writing import check_writable, write_all

VERDICT_EXIT = {"PASS": 0, "NO_GATE": 0, "FAIL": 1, "INCONCLUSIVE": 3}


@grouped
def evaluate(
    *,
    model: Model,
    suite: Suite = "adaptive",
    norm: Norm = None,
    epsilon: Epsilon = None,
    defense: Annotated[
        list[str] | None,
        typer.Option(
            help="A built-in defense in front of the model: jpeg:quality=75. May be repeated.", show_default=False
        ),
    ] = None,
    decision_rule: Annotated[
        str | None,
        typer.Option(
            help="How a random product decides: single, majority:K or mean:K draws; the suite's unless given.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for report.html, result.json and junit.xml.")] = Path(
        "robcheck-report"
    ),
    batch_size: Annotated[int | None, typer.Option(help="Rows per model call.", min=1, show_default=False)] = None,
    max_passes: Annotated[
        int | None, typer.Option(help="Budget of passes for all attacks together.", min=1, show_default=False)
    ] = None,
    data: EvaluationData,
    how: ModelOptions,
    gate: GateOptions,
    trust: TrustOptions,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Attack MODEL with every attack of a suite and report worst-case robust accuracy."""
    from .console import make_console, show_result
    from .suites import load_suite

    # Whoever closes the pager still gets the reports.
    console = make_console(quiet=quiet, lasting=True)
    settings: dict[str, Any] = {
        "suite": load_suite(suite),
        "norm": None if norm is None else norm.value,
        "epsilon": number("--epsilon", epsilon),
        "defenses": defense or [],
        "decision_rule": decision_rule,
        "seed": seed,
        "device": how.device,
        "batch_size": batch_size,
        "max_passes": max_passes,
        "expect_accuracy": data.expect_accuracy,
        **gate.settings,
        **trust.settings,
    }
    check_writable(out)
    product = how.open(model)
    loaded, further = _samples(model, data, product, data.arguments(_classifier(product).info, seed, how.layout))
    if further is not None:
        settings["held_out"] = further.x
    result, failed = _run(console, product, loaded, settings)
    show_result(console, result)
    for path in write_all(result, out):
        console.print(f"wrote {path}", style="dim", soft_wrap=True)
    if failed is not None:
        raise failed
    if not result.complete:
        raise KeyboardInterrupt
    raise typer.Exit(VERDICT_EXIT[result.verdict])


def _samples(model: str, data: EvaluationData, product: Any, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """What is evaluated, and for a product that may refuse to answer what its thresholds are taken from."""
    from .adapters import load_data, load_held_out

    source = data.source(model)
    if source is None:
        raise UsageError("--data is missing: give labelled samples (file.npz, an image folder or a zip, digits)")
    loaded = load_data(source, **arguments)
    return loaded, load_held_out(source, **arguments) if data.held_out or _refuses(product) else None


def _run(console: Any, product: Any, loaded: Any, settings: dict[str, Any]) -> tuple[Any, UnfinishedError | None]:
    """The result, and why the run could not finish, if it could not."""
    from . import api
    from .adapters.contract import contract_observer
    from .console import ProgressBars
    from .harness.results import DataRecord

    record = DataRecord(name=loaded.name, samples=len(loaded.y), sha256=loaded.sha256, shape=tuple(loaded.x.shape[1:]))
    bars = ProgressBars(console)
    with bars:
        try:
            observer = contract_observer(bars, product, loaded.x, loaded.y)
            result = api.evaluate(
                product,
                loaded.x,
                loaded.y,
                ids=loaded.ids,
                data=record,
                class_names=loaded.class_names,
                observer=observer,
                **settings,
            )
        except UnfinishedError as error:
            if error.result is None:
                raise
            return error.result, error
    return result, None


def _classifier(product: Any) -> Any:
    """The model without what stands around it."""
    return getattr(product, "classifier", product)


def _refuses(product: Any) -> bool:
    from .harness.pipeline import Pipeline

    return (product if isinstance(product, Pipeline) else Pipeline(product)).rejects


@grouped
def inspect(
    *,
    model: Model,
    epsilon: Annotated[str, typer.Option(help="Linf radius in which gradients have to lead uphill.")] = "8/255",
    seed: Seed = 0,
    data: InspectionData,
    how: ModelOptions,
) -> None:
    """What the adapter sees of MODEL, and whether MODEL keeps the contract that every evaluation rests on.

    Without DATA the samples are random and the labels the model's own answers: accuracy is then not judged.
    """
    from . import api
    from .adapters import load_data
    from .console import info_table, make_console, show_contract

    console = make_console()
    radius = number("--epsilon", epsilon)
    product = how.open(model)
    classifier = _classifier(product)
    x = y = None
    if (source := data.source(model)) is not None:
        loaded = load_data(source, **data.arguments(classifier.info, seed, how.layout))
        x, y = loaded.x, loaded.y
    elif data.expect_accuracy is not None:
        raise UsageError("--expect-accuracy needs labelled samples: give --data")
    elif classifier.info.input_shape is None:
        console.print(info_table(classifier.info))
        console.print("\nThe model does not say which shape its samples have, so nothing was asked: give --data.")
        return
    found = api.inspect(
        product,
        x,
        y,
        samples=data.samples,
        epsilon=radius,
        expect_accuracy=data.expect_accuracy,
        seed=seed,
        device=how.device,
    )
    console.print(info_table(found.model))
    if around := getattr(product, "defenses", ()):
        console.print(f"around the model   {', '.join(around)}; decides by {product.rule}")
    show_contract(console, found)
    raise typer.Exit(0 if found.sound else 3)


def list_(kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)]) -> None:
    """List attacks, defenses, gradients, suites, checks, reference products or fixtures."""
    from .catalogue import catalogue
    from .console import make_console

    make_console().print(catalogue(kind.value))


def describe(
    name: Annotated[
        str, typer.Argument(help="An attack, a defense, a gradient, a suite or a finding.", show_default=False)
    ],
) -> None:
    """Parameters, defaults and sources of an attack, a defense, a gradient or a suite; what a finding means."""
    from .catalogue import description
    from .console import make_console

    console = make_console()
    for part in description(name):
        console.print(part)


def selftest(
    full: Annotated[bool, typer.Option("--full/--quick", help="Every fixture, or a few of them.")] = False,
    seed: Seed = 0,
) -> None:
    """Attack models that are known to be broken, which have to fall, and proven ones, which have to stand.

    For those who changed a version of torch or onnxruntime. Quick: a minute or two; full: some ten minutes.
    """
    from .console import make_console
    from .console.selftest import show_selftest
    from .selftest import selftest as controls

    console = make_console()
    with console.status("") as status:
        cases = controls(full=full, seed=seed, started=status.update)
        failed = show_selftest(console, cases)
    raise typer.Exit(1 if failed else 0)
