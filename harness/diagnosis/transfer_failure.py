"""Indicator 5: does the point fool only what the gradient was taken of?"""

from ..results import Finding
from .indicators import raised
from .records import Records


def transfer_failure(records: Records) -> Finding | None:
    """An attack on a stand-in says little of the target."""
    return raised(
        records,
        "I5",
        "I5_TRANSFER_FAILURE",
        "the point fools the stand-in that the gradient was taken of and not the target",
        "Attack the target itself: a gradient through the real stages, with the detector in the loss.",
    )
