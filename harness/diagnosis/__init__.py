"""Checks: pure functions of records, one finding each; findings can turn PASS into INCONCLUSIVE, nothing else."""

from collections.abc import Callable

from ..results import Finding
from .attacks_ran import attacks_ran
from .blackbox_beats_whitebox import blackbox_beats_whitebox
from .clean_accuracy import clean_accuracy
from .contract import CONTRACT, examine
from .idle_rule import idle_rule
from .incomplete import incomplete
from .invalid_candidates import invalid_candidates
from .poor_fit import poor_fit
from .records import DIFFERENCE, Fit, Probe, Records, Unbounded
from .rejection import rejection
from .shattered import shattered
from .state_changed import state_changed
from .unbounded_fails import unbounded_fails
from .zero_radius import zero_radius

CHECKS: tuple[Callable[[Records], Finding | None], ...] = (
    incomplete,
    clean_accuracy,
    state_changed,
    zero_radius,
    invalid_candidates,
    blackbox_beats_whitebox,
    unbounded_fails,
    poor_fit,
    shattered,
    idle_rule,
)


def diagnose(records: Records) -> list[Finding]:
    """All findings, severe ones first; what the contract says in passing (`ok`, `info`) stays in the contract."""
    broken = [f for f in examine(records.probe, records.info) if f.severity in ("warning", "severe")]
    found = [finding for check in CHECKS if (finding := check(records)) is not None]
    order = ("severe", "warning", "info", "ok")
    return sorted([*found, *broken, *attacks_ran(records), *rejection(records)], key=lambda f: order.index(f.severity))


__all__ = ["CHECKS", "CONTRACT", "DIFFERENCE", "Fit", "Probe", "Records", "Unbounded", "diagnose", "examine"]
