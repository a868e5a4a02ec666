"""What `robcheck list` and `robcheck describe` show, read off the code itself."""

import difflib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .harness.asked import Asked, asked
from .harness.attacks import ATTACKS
from .harness.defenses import DEFENSES, WITH_NETWORK
from .harness.defenses.spec import FrontStage
from .harness.diagnosis.limits import Limit
from .harness.errors import UsageError
from .harness.gradients import ESTIMATORS
from .suites import builtin_suites, load_suite


def catalogue(kind: str) -> Table:
    """Everything of one kind, with one sentence each."""
    columns, rows = _LISTS[kind]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        # A name is there to be copied, so it stays in one piece.
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows():
        table.add_row(*row)
    return table


def _attacks() -> Iterator[tuple[str, ...]]:
    for name, spec in ATTACKS.items():
        yield name, spec.needs, " ".join(spec.norms), "yes" if spec.targeted else "no", spec.source


def _defenses() -> Iterator[tuple[str, ...]]:
    for name, defense in (DEFENSES | WITH_NETWORK).items():
        surrogate, where = defense.surrogate, " (in Python only)" if name in WITH_NETWORK else ""
        random = "yes" if defense.random else "no"
        yield name + where, _first(defense), random, f"{surrogate.kind}: {surrogate.reason}"


def _gradients() -> Iterator[tuple[str, ...]]:
    for name, estimator in ESTIMATORS.items():
        yield name, _first(estimator), ", ".join(key for key in estimator.model_fields if key != "kind")


def _suites() -> Iterator[tuple[str, ...]]:
    for name in builtin_suites():
        suite = load_suite(name)
        yield name, str(len(suite.attacks)), suite.description


def _references() -> Iterator[tuple[str, ...]]:
    from .adapters.reference import REFERENCES

    for name in REFERENCES:
        yield f"reference:{name}", f"reference:{name}/undefended"


def _fixtures() -> Iterator[tuple[str, ...]]:
    from .adapters.fixtures import FIXTURES

    for name, found in FIXTURES.items():
        yield f"fixture:{name}", found.trick, ", ".join(dict.fromkeys([*found.raises, *found.told]))


def _checks() -> Iterator[tuple[str, ...]]:
    for code, found in asked().items():
        needs = ", ".join(found.experiments)
        yield code, found.limit.severity, _thresholds(found.limit), found.question, needs, found.limit.source


def _thresholds(limit: Limit) -> str:
    text = f"{limit.threshold:g}"
    return text if limit.warning is None else f"{text} (warning: {limit.warning:g})"


_LISTS: dict[str, tuple[tuple[str, ...], Callable[[], Iterator[tuple[str, ...]]]]] = {
    "attacks": (("attack", "needs", "norms", "targeted", "source"), _attacks),
    "defenses": (("defense", "what it does", "random", "gradient around it"), _defenses),
    "gradients": (("gradient", "what it is", "parameters"), _gradients),
    "checks": (("finding", "severity", "threshold", "what it asks", "experiments", "source"), _checks),
    "suites": (("suite", "attacks", "what it is for"), _suites),
    "fixtures": (("a small digit network that is broken", "what hides it", "what is reported"), _fixtures),
    "references": (("a small digit network with that defense", "the same without it"), _references),
}


def description(name: str) -> list[RenderableType]:
    """Everything that is known about one attack, defense, gradient, suite or finding.

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
    if name in DEFENSES or name in WITH_NETWORK:
        defense = (DEFENSES | WITH_NETWORK)[name]
        head = Text.assemble((name, "bold"), f"  {_first(defense)}")
        return [head, Text(_facts(name, defense)), _fields(defense, "defense")]
    if name in ESTIMATORS:
        estimator = ESTIMATORS[name]
        head = Text.assemble((name, "bold"), f"  {_first(estimator)}")
        source = (inspect.getmodule(estimator).__doc__ or "").partition("Source: ")[2].strip()
        parts: list[RenderableType] = [head]
        if source:
            parts.append(Text(f"source: {' '.join(source.split())}"))
        return [*parts, _fields(estimator, "kind")] if len(estimator.model_fields) > 1 else parts
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
    findings = asked()
    if name in findings:
        return _finding(findings[name])
    known = [*ATTACKS, *DEFENSES, *WITH_NETWORK, *ESTIMATORS, *builtin_suites()]
    known += findings if name.isupper() else []
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"nothing is called {name!r}{hint}; known are {', '.join(known)}")


def _finding(found: Asked) -> list[RenderableType]:
    limit = found.limit
    lines = [f"severity: {limit.severity}", f"threshold: {_thresholds(limit)}"]
    if found.experiments:
        lines.append(f"control experiments: {', '.join(found.experiments)}")
    lines.append(f"source: {limit.source}")
    return [Text.assemble((found.code, "bold"), f"  {found.question}"), Text("\n".join(lines))]


def _facts(name: str, defense: type[FrontStage]) -> str:
    lines = [
        f"random: {'yes' if defense.random else 'no'}",
        f"gradient: {defense.surrogate.kind}, because {defense.surrogate.reason}",
    ]
    if hasattr(defense, "unrolled"):
        lines.append("also differentiable through its steps: unrolled")
    if name in WITH_NETWORK:
        lines.append(f"holds a network, so it is made in Python: robcheck.harness.defenses.{defense.__name__}(...)")
    return "\n".join(lines)


def _fields(model: type[BaseModel], without: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("parameter", "default", "what it is"):
        table.add_column(column, overflow="fold")
    for key, field in model.model_fields.items():
        if key != without:
            table.add_row(key, "(required)" if field.is_required() else str(field.default), field.description or "")
    return table


def _first(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
