"""The contract: what has to hold of a model before its robustness means anything; one check, one file, one finding."""

from collections.abc import Callable

from ...model_info import ModelInfo
from ...results import Finding
from ..records import Probe
from .accuracy import accuracy
from .ascent import ascent
from .batch_independence import batch_independence
from .determinism import determinism
from .finite_output import finite_output
from .gradient import gradient
from .output_kind import output_kind
from .parity import parity

CONTRACT: tuple[Callable[[Probe, ModelInfo], Finding], ...] = (
    finite_output,
    output_kind,
    accuracy,
    determinism,
    batch_independence,
    parity,
    gradient,
    ascent,
)

CODES: dict[str, Callable[[Probe, ModelInfo], Finding]] = {
    "NAN_OUTPUT": finite_output,
    "INFINITE_OUTPUT": finite_output,
    "OUTPUT_KIND": output_kind,
    "SCORES_ARE_NO_LOGITS": output_kind,
    "LABELS_ONLY": output_kind,
    "ACCURACY_TOO_LOW": accuracy,
    "NONDETERMINISTIC": determinism,
    "BATCH_DEPENDENT": batch_independence,
    "TWIN_PARITY": parity,
    "NO_GRADIENT": gradient,
    "GRADIENT_FAILS": gradient,
    "ZERO_GRADIENT": gradient,
    "WRONG_GRADIENT": gradient,
    "NOT_ASCENDING": ascent,
}
"""Which of them raises what, where something is wrong."""


def examine(probe: Probe, info: ModelInfo) -> list[Finding]:
    """Every check of the contract, in order, whatever it says."""
    return [check(probe, info) for check in CONTRACT]


__all__ = ["CODES", "CONTRACT", "examine"]
