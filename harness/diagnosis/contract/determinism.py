"""Does the deployed model answer the same question the same way?"""

from ...model_info import ModelInfo
from ...results import Finding
from ..limits import limit
from ..records import Probe
from .unchecked import NOT_ASKED, unchecked


def determinism(probe: Probe, info: ModelInfo) -> Finding:
    """Two equal questions, two answers; or operators that draw numbers, whatever two answers say."""
    if probe.samples == 0:
        return unchecked("DETERMINISM", NOT_ASKED)
    allowed = limit("NONDETERMINISTIC")
    if not probe.random:
        return Finding(
            code="DETERMINISM",
            severity="ok",
            message="Equal questions have equal answers.",
            measured=probe.difference,
            threshold=allowed.threshold,
        )
    message = "The model answers the same question differently"
    if info.random_operators:
        message = f"The model draws random numbers ({', '.join(info.random_operators)})"
    return Finding(
        code="NONDETERMINISTIC",
        severity=allowed.severity,
        message=f"{message}, so it is attacked and scored in expectation.",
        measured=probe.difference,
        threshold=allowed.threshold,
        remedy="If no randomness is intended, look for dropout or noise that is left on.",
    )
