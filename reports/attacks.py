"""The attacks as rows: what the plan has told already is not told again."""

from dataclasses import dataclass

from ..harness.results import AttackRecord, Result


@dataclass(frozen=True)
class AttackLine:
    """One attack, and its reason where the plan does not give the same one."""

    record: AttackRecord
    reason: str


def attack_lines(result: Result) -> list[AttackLine]:
    """Every attack but those that the plan leaves out because they mean nothing here."""
    told = {entry.name: entry for entry in result.plan}
    lines: list[AttackLine] = []
    for record in result.attacks:
        entry = told.get(record.name)
        if record.status == "not_applicable" and entry is not None and not entry.runs:
            continue
        same = entry is not None and entry.reason == record.reason and record.status == "ok"
        lines.append(AttackLine(record, "" if same else record.reason))
    return lines
