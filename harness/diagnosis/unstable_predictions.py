"""Indicator 2: does noise that nobody sees change the loss?"""

from ..results import Finding
from .indicators import raised
from .records import Records


def unstable_predictions(records: Records) -> Finding | None:
    """A loss that trembles hides the direction in which it rises."""
    return raised(
        records,
        "I2",
        "I2_UNSTABLE_PREDICTIONS",
        "a little noise moves the loss by more than a tenth",
        "Average the gradient over draws (EOT) or over neighbours (a smoothed gradient, NES).",
    )
