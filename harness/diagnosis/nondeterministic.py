"""Does the deployed model answer the same question the same way?"""

from ..results import Finding
from .records import Records

THRESHOLD = 1e-4
"""Largest L2 distance of normalised outputs. Source: AutoAttack, flag for randomised models."""


def nondeterministic(records: Records) -> Finding | None:
    """Two equal questions, two answers."""
    if records.probe.difference <= THRESHOLD:
        return None
    return Finding(
        code="NONDETERMINISTIC",
        severity="warning",
        message="The model answers the same question differently, so it is attacked and scored in expectation.",
        measured=records.probe.difference,
        threshold=THRESHOLD,
        remedy="If no randomness is intended, look for dropout or noise that is left on.",
    )
