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


def examine(probe: Probe, info: ModelInfo) -> list[Finding]:
    """Every check of the contract, in order, whatever it says."""
    return [check(probe, info) for check in CONTRACT]


__all__ = ["CONTRACT", "examine"]
