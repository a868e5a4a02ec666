"""Is the model any good on clean samples?"""

import math

from ..results import Finding
from .records import Records


def chance_limit(classes: int, samples: int) -> float:
    """Chance plus three standard errors, or half of the samples, whichever is smaller but above chance."""
    chance = 1 / max(classes, 2)
    return min(0.95, max(chance + 3 * math.sqrt(chance * (1 - chance) / max(samples, 1)), min(0.5, 3 * chance)))


def clean_accuracy(records: Records) -> Finding | None:
    """Implausibly low: the stated range, layout, normalisation or label order is probably wrong."""
    limit = chance_limit(records.classes, records.evaluated)
    if records.evaluated == 0 or records.clean_accuracy > limit:
        return None
    return Finding(
        code="CLEAN_ACCURACY",
        severity="severe",
        message=f"Only {records.clean_accuracy:.1%} of the clean samples are classified correctly.",
        measured=records.clean_accuracy,
        threshold=limit,
        remedy="Check range, mean and std, layout, channel order and the order of the labels.",
    )
