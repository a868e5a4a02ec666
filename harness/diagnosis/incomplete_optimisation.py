"""Indicator 4: was the loss still rising when the attack ended?"""

from ..results import Finding
from .indicators import raised
from .records import Records


def incomplete_optimisation(records: Records) -> Finding | None:
    """What still rises has not arrived."""
    return raised(
        records,
        "I4",
        "I4_INCOMPLETE_OPTIMISATION",
        "the loss still rose in the last quarter of the steps",
        "Take more steps, or larger ones.",
    )
