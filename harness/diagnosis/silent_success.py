"""Indicator 3: did the attack pass by what it was looking for?"""

from ..results import Finding
from .indicators import raised
from .records import Records


def silent_success(records: Records) -> Finding | None:
    """An attack that returns another point than the one that broke lies about its failure."""
    return raised(
        records,
        "I3",
        "I3_SILENT_SUCCESS",
        "an iterate was adversarial and the point that the attack returned is not",
        "Let the attack return its best iterate.",
    )
