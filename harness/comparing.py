"""Two results of the same samples side by side: tables, tests, and what else changed."""

from collections.abc import Sequence
from typing import Any

from .record import Record
from .regression import Standing, Subject, refuse_misfit, refuse_unfinished, regression
from .results import Gate, GatePart, RegressionRecord, Result, SampleRecord, Verdict
from .statistics import holm, mcnemar
from .verdict import combined, regression_part

NAMED = 20
"""Samples that a list of names shows at most on a screen; the record holds all."""


class Table(Record):
    """Samples by what they were before and after."""

    both: int
    only_before: int
    only_after: int
    neither: int


class Quantity(Record):
    """One accuracy before and after, on the same samples."""

    name: str
    table: Table
    """Right in both, in one, in none; of random targets, right more often than not."""
    change: RegressionRecord


class AttackChange(Record):
    """What stands after an attack, before and after; all attacks in front of it have taken theirs."""

    name: str
    before: float | None
    after: float | None
    p: float | None = None
    """Exact McNemar on the samples that stand then; None where the records do not say which."""
    adjusted: float | None = None
    """The same after Holm over all attacks."""


class Change(Record):
    """Something that differs between the two runs."""

    what: str
    before: str
    after: str


class Compared(Record):
    """Everything that `robcheck compare` says."""

    before: str
    after: str
    data: str
    samples: int
    confidence: float
    verdict: Verdict
    explanation: str
    against_pass: list[str]
    gate_parts: list[GatePart]
    clean: Quantity
    robust: Quantity
    attacks: list[AttackChange]
    lost: list[int]
    """Names of the samples that were robust and are not any more."""
    won: list[int]
    changes: list[Change]


def compare(
    old: Result, new: Result, gate: Gate, *, names: tuple[str, str] = ("the old run", "the new run")
) -> Compared:
    """What changed from `old` to `new`.

    A PASS needs that no loss of more than `gate.max_regression` is left possible, and that nothing stands against a
    PASS of the new run: an attack that did not do its work there flatters the change.

    Raises:
        UsageError: the two cannot be compared.
    """
    for result, name in zip((old, new), names, strict=True):
        refuse_unfinished(result, name)
    refuse_misfit(Subject.of(old), Subject.of(new), names[0])
    robust = _quantity("robust", old, new, gate, Standing.of)
    parts = [] if gate.max_regression is None else [regression_part(gate.max_regression, robust.change, gate)]
    against = [text for text in new.against_pass if not text.startswith(("INTERVAL:", "REGRESSION:"))]
    verdict, text, against = combined(parts, against)
    pairs = list(zip(old.samples, new.samples, strict=True))
    return Compared(
        before=old.model.name,
        after=new.model.name,
        data=new.data.name,
        samples=len(new.samples),
        confidence=gate.confidence,
        verdict=verdict,
        explanation=text if parts else "No limit was set (--max-regression).",
        against_pass=against,
        gate_parts=parts,
        clean=_quantity("clean", old, new, gate.model_copy(update={"max_regression": None}), Standing.clean),
        robust=robust,
        attacks=attack_changes(old, new),
        lost=[b.id for a, b in pairs if Standing.of(a).least >= 0.5 > Standing.of(b).least],
        won=[b.id for a, b in pairs if Standing.of(a).least < 0.5 <= Standing.of(b).least],
        changes=changes(old, new),
    )


def _quantity(name: str, old: Result, new: Result, gate: Gate, standing: Any) -> Quantity:
    before, after = [standing(s) for s in old.samples], [standing(s) for s in new.samples]
    right = [(a.least >= 0.5, b.least >= 0.5) for a, b in zip(before, after, strict=True)]
    table = Table(
        both=right.count((True, True)),
        only_before=right.count((True, False)),
        only_after=right.count((False, True)),
        neither=right.count((False, False)),
    )
    return Quantity(name=name, table=table, change=regression(before, after, gate, baseline=old.model.name))


def attack_changes(old: Result, new: Result) -> list[AttackChange]:
    """Attack by attack, in the new run's order; attacks that only one run has are there without a test."""
    before, after = ({a.name: a.robust_accuracy for a in r.attacks} for r in (old, new))
    names = [*after, *(name for name in before if name not in after)]
    stood = [_standing_after(result) for result in (old, new)]
    rows = []
    for name in names:
        row = AttackChange(name=name, before=before.get(name), after=after.get(name))
        if stood[0] is not None and stood[1] is not None and name in before and name in after:
            lost = sum(a and not b for a, b in zip(stood[0][name], stood[1][name], strict=True))
            won = sum(b and not a for a, b in zip(stood[0][name], stood[1][name], strict=True))
            row.p = mcnemar(lost, won)
        rows.append(row)
    adjusted = holm({row.name: row.p for row in rows if row.p is not None})
    for row in rows:
        row.adjusted = adjusted.get(row.name)
    return rows


def _standing_after(result: Result) -> dict[str, list[bool]] | None:
    """By attack, which samples stand when it and all before it are done; None of a random target, whose worst case may
    come from a later attack than its first break."""
    if result.stochastic:
        return None
    order = {record.name: place for place, record in enumerate(result.attacks)}
    last = len(order)
    return {name: [_stands(sample, order, place, last) for sample in result.samples] for name, place in order.items()}


def _stands(sample: SampleRecord, order: dict[str, int], place: int, last: int) -> bool:
    if sample.outcome == "broken":
        return order.get(sample.broken_by or "", last) > place
    return sample.outcome == "survived"


def changes(old: Result, new: Result) -> list[Change]:
    """What else differs: model, product, suite, plan, versions, findings."""
    found = [
        Change(what=what, before=str(a), after=str(b))
        for what, a, b in (
            ("model", old.model.name, new.model.name),
            ("model sha256", (old.model.sha256 or "-")[:12], (new.model.sha256 or "-")[:12]),
            ("defenses", ", ".join(old.defenses) or "none", ", ".join(new.defenses) or "none"),
            ("decision rule", old.decision_rule, new.decision_rule),
            ("random", "yes" if old.stochastic else "no", "yes" if new.stochastic else "no"),
            ("suite", old.suite, new.suite),
            ("controls", old.controls_level, new.controls_level),
            ("seed", old.seed, new.seed),
            ("robcheck", old.environment.robcheck, new.environment.robcheck),
            ("python", old.environment.python, new.environment.python),
            ("device", old.environment.device, new.environment.device),
        )
        if a != b
    ]
    return [*found, *_packages(old, new), *_plan(old, new), *_findings(old, new)]


def _packages(old: Result, new: Result) -> list[Change]:
    a, b = old.environment.packages, new.environment.packages
    return [
        Change(what=name, before=a.get(name, "-"), after=b.get(name, "-"))
        for name in sorted(a | b)
        if a.get(name) != b.get(name)
    ]


def _plan(old: Result, new: Result) -> list[Change]:
    """Entries that only one run has, or that differ in what they do; reasons are words."""
    shown = [{entry.name: _entry(entry) for entry in result.plan} for result in (old, new)]
    found = []
    for name in dict.fromkeys([*shown[1], *shown[0]]):
        a, b = shown[0].get(name, {}), shown[1].get(name, {})
        if a != b:
            before, after = _differing(a, b)
            found.append(Change(what=f"plan: {name}", before=before, after=after))
    return found


def _entry(entry: Any) -> dict[str, str]:
    fields = entry.model_dump(exclude={"name", "reason", "cost", "parameters"})
    return {key: str(value) for key, value in (fields | entry.parameters).items()}


def _differing(a: dict[str, str], b: dict[str, str]) -> tuple[str, str]:
    if not a or not b:
        return ("in the plan" if a else "not there", "in the plan" if b else "not there")
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    return ", ".join(f"{k} {a.get(k, '-')}" for k in keys), ", ".join(f"{k} {b.get(k, '-')}" for k in keys)


def _findings(old: Result, new: Result) -> list[Change]:
    severities: Sequence[dict[str, str]] = [
        {f.code: f"{f.severity}, waived" if f.waived else f.severity for f in reversed(r.findings)} for r in (old, new)
    ]
    before, after = severities
    return [
        Change(what=f"finding {code}", before=before.get(code, "-"), after=after.get(code, "-"))
        for code in sorted({*before, *after})
        if before.get(code) != after.get(code)
    ]
