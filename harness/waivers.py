"""Findings that somebody has decided to live with: applied, unused, expired or refused. Pure."""

from collections.abc import Sequence
from datetime import date

from .diagnosis.limits import limit
from .results import Finding
from .trust import Waiver, WaiverStatus

VOID: dict[str, str] = {
    "INCOMPLETE": "the run did not ask everything",
    "INTERRUPTED": "the run did not ask everything",
    "NOT_EVALUATED": "nothing is known of those samples",
    "NO_ATTACK": "nothing was attacked",
    "INVALID_CANDIDATES": "those attacks did not attack inside the threat model, so what they say is worth nothing",
    "UNSOUND": "a proof and an attack contradict each other, so one of them is wrong",
    "CONTROLS_OFF": "no control ran, so nobody knows what would be waived",
    "INTERVAL": "it is the measurement itself; evaluate more samples",
    "REGRESSION": "it is the measurement itself; evaluate more samples",
    "WAIVER_EXPIRED": "it speaks of another waiver; renew or remove that one",
}
"""What no waiver undoes, and why: with these a run says nothing at all, rather than something about a flaw of the model
or of the evaluation that a person may know and accept."""


def apply_waivers(
    findings: Sequence[Finding], waivers: Sequence[Waiver], today: date
) -> tuple[list[Finding], list[Waiver]]:
    """The findings with `waived` filled in, those about expired waivers added, and the waivers with what came of them.

    A waiver counts to the end of its last day, UTC. Neither verdict nor severity of a finding changes: a waived one
    stays severe and is shown, but does not stand against a PASS.
    """
    severe = {finding.code for finding in findings if finding.severity == "severe"}
    judged = [waiver.model_copy(update={"status": _status(waiver, severe, today)}) for waiver in waivers]
    reasons = {w.code: f"{w.reason} (until {w.expires})" for w in reversed(judged) if w.status == "applied"}
    marked = [
        finding.model_copy(update={"waived": reasons[finding.code]})
        if finding.severity == "severe" and finding.code in reasons
        else finding
        for finding in findings
    ]
    expired = [_expired(w, today, stands=w.code in severe - set(reasons)) for w in judged if w.status == "expired"]
    first = sum(finding.severity == "severe" for finding in marked)
    return [*marked[:first], *expired, *marked[first:]], judged


def _status(waiver: Waiver, severe: set[str], today: date) -> WaiverStatus:
    if waiver.code in VOID:
        return "refused"
    if today > date.fromisoformat(waiver.expires):
        return "expired"
    return "applied" if waiver.code in severe else "unused"


def _expired(waiver: Waiver, today: date, *, stands: bool) -> Finding:
    again = f"{waiver.code} stands against a PASS again" if stands else "nothing that it names was found"
    return Finding(
        code="WAIVER_EXPIRED",
        severity=limit("WAIVER_EXPIRED").severity,
        message=f"The waiver of {waiver.code} ended on {waiver.expires} ({waiver.reason}); {again}.",
        measured=(today - date.fromisoformat(waiver.expires)).days,
        threshold=0,
        remedy="Mend what it was about, or decide again and give it another day; otherwise remove it.",
    )
