"""Checks: pure functions of records, one finding each; findings can turn PASS into INCONCLUSIVE, nothing else."""

from ..results import Finding
from .adaptive_weaker import adaptive_weaker
from .attack_broken import attack_broken
from .attack_unvalidated import attack_unvalidated
from .attacks_ran import attacks_ran
from .blackbox_beats_whitebox import blackbox_beats_whitebox
from .broader import broader
from .check import Check
from .clean_accuracy import clean_accuracy
from .contract import CONTRACT, examine
from .control_failed import control_failed
from .controls_off import controls_off
from .eot_broken import eot_broken
from .eps_nonmonotone import eps_nonmonotone
from .hparam_sensitive import hparam_sensitive
from .idle_rule import idle_rule
from .incomplete import incomplete
from .incomplete_optimisation import incomplete_optimisation
from .invalid_ae import invalid_ae
from .invalid_candidates import invalid_candidates
from .limits import DIFFERENCE
from .loss_sensitive import loss_sensitive
from .low_power import low_power
from .no_gradient_attack import no_gradient_attack
from .not_converged import not_converged
from .one_step_beats_iter import one_step_beats_iter
from .optimises import optimises
from .pixel_grid import pixel_grid
from .poor_fit import poor_fit
from .random_finds_ae import random_finds_ae
from .records import Fit, Probe, Records
from .rejection import rejection
from .same_attack import same_attack
from .shattered import shattered
from .silent_success import silent_success
from .state_changed import state_changed
from .targeted_stronger import targeted_stronger
from .threat_model import threat_model
from .transfer_failure import transfer_failure
from .unavailable_gradients import unavailable_gradients
from .unbounded_fails import unbounded_fails
from .unconstrained_failure import unconstrained_failure
from .unsound import unsound
from .unstable_predictions import unstable_predictions
from .zero_radius import zero_radius

CHECKS: tuple[Check, ...] = (
    Check("INCOMPLETE", incomplete),
    Check("CLEAN_ACCURACY", clean_accuracy),
    Check("STATE_CHANGED", state_changed),
    Check("ZERO_RADIUS", zero_radius),
    Check("THREAT_MODEL", threat_model),
    Check("INVALID_CANDIDATES", invalid_candidates),
    Check("CONTROLS_OFF", controls_off),
    Check("CONTROL_FAILED", control_failed),
    Check("BLACKBOX_BEATS_WHITEBOX", blackbox_beats_whitebox),
    Check("NO_GRADIENT_ATTACK", no_gradient_attack),
    Check("UNBOUNDED_FAILS", unbounded_fails, needs=("unbounded", "radii")),
    Check("ATTACK_UNVALIDATED", attack_unvalidated, needs=("toys",)),
    Check("LOW_POWER", low_power, needs=("planted",)),
    Check("I1_UNAVAILABLE_GRADIENTS", unavailable_gradients, needs=("indicators",)),
    Check("I2_UNSTABLE_PREDICTIONS", unstable_predictions, needs=("indicators",)),
    Check("I3_SILENT_SUCCESS", silent_success, needs=("indicators",)),
    Check("I4_INCOMPLETE_OPTIMISATION", incomplete_optimisation, needs=("indicators",)),
    Check("I5_TRANSFER_FAILURE", transfer_failure, needs=("indicators",)),
    Check("I6_UNCONSTRAINED_FAILURE", unconstrained_failure, needs=("indicators",)),
    Check("EPS_NONMONOTONE", eps_nonmonotone, needs=("radii",)),
    Check("RANDOM_FINDS_AE", random_finds_ae, needs=("random",)),
    Check("INVALID_AE", invalid_ae, needs=("grid",)),
    Check("PIXEL_GRID", pixel_grid),
    Check("ONE_STEP_BEATS_ITER", one_step_beats_iter, needs=("one_step",)),
    Check("NOT_CONVERGED", not_converged, needs=("steps",)),
    Check("ADAPTIVE_WEAKER", adaptive_weaker, needs=("generic",)),
    Check("EOT_BROKEN", eot_broken, needs=("frozen",)),
    Check("ATTACK_BROKEN", attack_broken, needs=("sibling",), also=("SIBLING_RESISTS",)),
    Check("TARGETED_STRONGER", targeted_stronger, needs=("targets",)),
    Check("LOSS_SENSITIVE", loss_sensitive, needs=("losses",)),
    Check("HPARAM_SENSITIVE", hparam_sensitive, needs=("settings",)),
    Check("SAME_ATTACK", same_attack),
    Check("UNSOUND", unsound, needs=("certificate",)),
    Check("OPTIMISES", optimises),
    Check("BROADER", broader, needs=("broader",)),
    Check("POOR_FIT", poor_fit),
    Check("SHATTERED", shattered),
    Check("IDLE_RULE", idle_rule),
    Check(
        "ATTACKS_RAN",
        attacks_ran,
        also=("ATTACK_CRASHED", "ATTACK_SKIPPED", "BUDGET_EXHAUSTED", "INTERRUPTED", "NO_ATTACK"),
    ),
    Check(
        "REJECTION",
        rejection,
        also=(
            "CLEAN_REJECTION",
            "CONSTANT_SCORE",
            "OPERATING_POINTS",
            "OPERATING_POINT_UNFINISHED",
            "HELD_OUT_SMALL",
        ),
    ),
)
"""The code under which a check is listed; one that tells several things apart raises findings of several codes."""


def diagnose(records: Records) -> list[Finding]:
    """All findings, severe ones first; what the contract says in passing (`ok`, `info`) stays in the contract."""
    broken = [f for f in examine(records.probe, records.info) if f.severity in ("warning", "severe")]
    found = [finding for check in CHECKS for finding in check.findings(records)]
    order = ("severe", "warning", "info", "ok")
    return sorted([*found, *broken], key=lambda f: order.index(f.severity))


__all__ = ["CHECKS", "CONTRACT", "DIFFERENCE", "Check", "Fit", "Probe", "Records", "diagnose", "examine"]
