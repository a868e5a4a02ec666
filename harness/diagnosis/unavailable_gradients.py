"""Indicator 1: was there a gradient to follow?"""

from ..results import Finding
from .indicators import raised
from .records import Records


def unavailable_gradients(records: Records) -> Finding | None:
    """A zero gradient, or one that is no number, leads nowhere."""
    return raised(
        records,
        "I1",
        "I1_UNAVAILABLE_GRADIENTS",
        "a gradient of the attack's loss is zero or no number",
        "Use a margin or logit loss, BPDA or a smoothed gradient.",
    )
