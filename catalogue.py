"""What `robcheck list` and `robcheck describe` show, read off the code itself."""

import difflib
import inspect
from typing import Any

from pydantic import BaseModel
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .harness.attacks import ATTACKS
from .harness.defenses import DEFENSES
from .harness.errors import UsageError
from .suites import builtin_suites, load_suite


def catalogue(kind: str) -> Table:
    """All attacks, defenses or suites with one sentence each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    if kind == "attacks":
        for column in ("attack", "needs", "norms", "targeted", "source"):
            table.add_column(column, overflow="fold")
        for name, spec in ATTACKS.items():
            table.add_row(name, spec.needs, " ".join(spec.norms), "yes" if spec.targeted else "no", spec.source)
    elif kind == "defenses":
        for column in ("defense", "what it does", "random", "gradient around it"):
            table.add_column(column, overflow="fold")
        for name, defense in DEFENSES.items():
            surrogate = defense.surrogate
            table.add_row(
                name, _first(defense), "yes" if defense.random else "no", f"{surrogate.kind}: {surrogate.reason}"
            )
    else:
        for column in ("suite", "attacks", "what it is for"):
            table.add_column(column, overflow="fold")
        for name in builtin_suites():
            suite = load_suite(name)
            table.add_row(name, str(len(suite.attacks)), suite.description)
    return table


def description(name: str) -> list[RenderableType]:
    """Everything that is known about one attack, defense or suite.

    Raises:
        UsageError: there is none of that name.
    """
    if name in ATTACKS:
        spec = ATTACKS[name]
        head = Text.assemble((name, "bold"), f"  {_first(spec.config)}")
        facts = Text(
            f"needs {spec.needs}; norms {', '.join(spec.norms)}; targeted: {'yes' if spec.targeted else 'no'}\n"
            f"source: {spec.source}"
        )
        return [head, facts, _fields(spec.config, "attack")]
    if name in DEFENSES:
        defense = DEFENSES[name]
        head = Text.assemble((name, "bold"), f"  {_first(defense)}")
        facts = Text(f"gradient: {defense.surrogate.kind}, because {defense.surrogate.reason}")
        return [head, facts, _fields(defense, "defense")]
    if name in builtin_suites():
        suite = load_suite(name)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("name", "attack", "parameters"):
            table.add_column(column, overflow="fold")
        for request in suite.attacks:
            table.add_row(
                request.name, request.config.attack, ", ".join(f"{k}={v}" for k, v in request.parameters.items())
            )
        threat = Text(f"default threat: {suite.threat.norm}, eps {suite.threat.epsilon:.4g}")
        return [Text.assemble((name, "bold"), f"  {suite.description}"), threat, table]
    known = [*ATTACKS, *DEFENSES, *builtin_suites()]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"nothing is called {name!r}{hint}; known are {', '.join(known)}")


def _fields(model: type[BaseModel], without: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("parameter", "default", "what it is"):
        table.add_column(column, overflow="fold")
    for key, field in model.model_fields.items():
        if key != without:
            table.add_row(key, str(field.default), field.description or "")
    return table


def _first(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
