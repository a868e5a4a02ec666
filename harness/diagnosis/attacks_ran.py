"""Did every attack of the suite do its work?"""

from ..results import AttackRecord, Finding
from .limits import limit
from .records import Records

_CODES = {
    "crashed": ("ATTACK_CRASHED", "Mend the model or the attack and run again."),
    "skipped": ("ATTACK_SKIPPED", "Give it what it needs, or take it out of the suite."),
    "starved": ("BUDGET_EXHAUSTED", "Raise the budget of passes."),
    "interrupted": ("INTERRUPTED", "Run again to the end."),
}


def attacks_ran(records: Records) -> list[Finding]:
    """One finding per kind of failure, and one when nothing attacked at all."""
    findings = []
    for status, (code, remedy) in _CODES.items():
        failed = [a for a in records.attacks if a.status == status]
        if failed:
            findings.append(_finding(code, status, failed, remedy))
    # What control experiments found in passing is no attack of the suite.
    ran = any(a.status in ("ok", "idle") for a in records.attacks if a.attack != "controls")
    if records.complete and (records.immovable or not ran):
        findings.append(
            Finding(
                code="NO_ATTACK",
                severity=limit("NO_ATTACK").severity,
                message="No attack ran, so nothing is known about robustness.",
                remedy="Check the suite against the norm and the model (`robcheck describe SUITE`).",
            )
        )
    return findings


def _finding(code: str, status: str, failed: list[AttackRecord], remedy: str) -> Finding:
    names = ", ".join(a.name for a in failed)
    reasons = "; ".join(dict.fromkeys(a.reason for a in failed if a.reason))
    message = f"{status.capitalize()}: {names}" + (f" ({reasons})." if reasons else ".")
    allowed = limit(code)
    return Finding(
        code=code,
        severity=allowed.severity,
        message=message,
        measured=len(failed),
        threshold=allowed.threshold,
        remedy=remedy,
    )
