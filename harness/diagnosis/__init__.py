"""Checks: pure functions of records, one finding each; findings can turn PASS into INCONCLUSIVE, nothing else."""

from collections.abc import Callable

from ..results import Finding
from .attacks_ran import attacks_ran
from .batch_dependent import batch_dependent
from .blackbox_beats_whitebox import blackbox_beats_whitebox
from .clean_accuracy import clean_accuracy
from .dead_gradient import dead_gradient
from .incomplete import incomplete
from .invalid_candidates import invalid_candidates
from .nan_output import nan_output
from .no_gradient import no_gradient
from .nondeterministic import nondeterministic
from .records import Probe, Records, Unbounded
from .state_changed import state_changed
from .twin_parity import twin_parity
from .unbounded_fails import unbounded_fails
from .zero_radius import zero_radius

CHECKS: tuple[Callable[[Records], Finding | None], ...] = (
    incomplete,
    clean_accuracy,
    nan_output,
    nondeterministic,
    batch_dependent,
    state_changed,
    zero_radius,
    no_gradient,
    dead_gradient,
    twin_parity,
    invalid_candidates,
    blackbox_beats_whitebox,
    unbounded_fails,
)


def diagnose(records: Records) -> list[Finding]:
    """All findings, severe ones first."""
    found = [finding for check in CHECKS if (finding := check(records)) is not None]
    return sorted(found + attacks_ran(records), key=lambda f: ("severe", "warning", "info").index(f.severity))


__all__ = ["CHECKS", "Probe", "Records", "Unbounded", "diagnose"]
