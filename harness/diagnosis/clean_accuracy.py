"""Is the model any good on clean samples?"""

import math

from ..results import Finding
from .limits import CHANCE_HALF, CHANCE_MOST, CHANCE_SIGMAS, CHANCE_TIMES, limit
from .records import Records


def chance_limit(classes: int, samples: int) -> float:
    """The more of chance with its standard errors, and a few times chance or half of the samples."""
    chance = 1 / max(classes, 2)
    error = math.sqrt(chance * (1 - chance) / max(samples, 1))
    return min(CHANCE_MOST, max(chance + CHANCE_SIGMAS * error, min(CHANCE_HALF, CHANCE_TIMES * chance)))


def clean_accuracy(records: Records) -> Finding | None:
    """Implausibly low: the stated range, layout, normalisation or label order is probably wrong."""
    needed = chance_limit(records.classes, records.evaluated)
    if records.evaluated == 0 or records.clean_accuracy > needed:
        return None
    return Finding(
        code="CLEAN_ACCURACY",
        severity=limit("CLEAN_ACCURACY").severity,
        message=f"Only {records.clean_accuracy:.1%} of the clean samples are classified correctly.",
        measured=records.clean_accuracy,
        threshold=needed,
        remedy="Check range, mean and std, layout, channel order and the order of the labels.",
    )
