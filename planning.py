"""What `robcheck plan` does: the plan of an evaluation, without an attack."""

import json
from typing import Annotated

import typer

from .grouping import grouped
from .harness.errors import UsageError
from .options import DataOptions, Epsilon, Model, ModelOptions, Norm, Seed, Suite, number


@grouped
def plan(
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
    batch_size: Annotated[int | None, typer.Option(help="Rows per model call.", min=1, show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the entries of the plan as JSON.")] = False,
    data: DataOptions,
    how: ModelOptions,
) -> None:
    """What `evaluate` would run on MODEL, on what gradient and why, and what it leaves out; nothing is attacked."""
    from . import api
    from .adapters import load_data
    from .console import make_console, plan_table
    from .suites import load_suite

    chosen, radius = load_suite(suite), number("--epsilon", epsilon)
    product = how.open(model)
    source = data.source(model)
    if source is None:
        raise UsageError("--data is missing: give labelled samples (file.npz, an image folder or a zip, digits)")
    info = getattr(product, "classifier", product).info
    loaded = load_data(source, **data.arguments(info, seed, how.layout))
    entries = api.plan(
        product,
        loaded.x,
        loaded.y,
        suite=chosen,
        norm=None if norm is None else norm.value,
        epsilon=radius,
        defenses=defense or [],
        decision_rule=decision_rule,
        seed=seed,
        device=how.device,
        batch_size=batch_size,
        ids=loaded.ids,
    )
    if as_json:
        print(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2))
        return
    console = make_console()
    console.print(plan_table(entries))
    running = sum(entry.runs for entry in entries)
    console.print(f"\n{running} of {len(entries)} entries run; nothing was attacked yet", style="dim")
