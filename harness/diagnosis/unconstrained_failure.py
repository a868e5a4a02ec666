"""Indicator 6: does the attack fail even when it may do anything?"""

from ..results import Finding
from .indicators import raised
from .records import Records


def unconstrained_failure(records: Records) -> Finding | None:
    """An attack that cannot win without a limit is broken."""
    return raised(
        records,
        "I6",
        "I6_UNCONSTRAINED_FAILURE",
        "the same attack fails without a limit",
        "The attack is broken: change the loss or the gradient, and look for a bug.",
    )
