"""Does the attack succeed when it may do anything?"""

import math
from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .eps_nonmonotone import NAME as RADII
from .eps_nonmonotone import Radii
from .limits import CHANCE_SIGMAS, limit
from .records import Records

NAME = "unbounded"

_REMEDY = "The gradient does not lead uphill: look for masking, saturation or a wrong estimator."
_DETECTOR = (
    "Other classes are accepted somewhere in the box, and the gradient of class and rejection score does not lead "
    "there: look for a rejection score that saturates or is flat far from the data, and export its raw score."
)


@dataclass(frozen=True)
class Unbounded:
    """The attack with the whole box to move in, which has to succeed."""

    samples: int
    survived: int
    rejects: bool = False
    """Whether the target may refuse to answer."""

    @property
    def measures(self) -> list[Measure]:
        """The share that stands."""
        return [Measure(label="still right without a limit", value=self.survived / max(1, self.samples))]


def unbounded_fails(records: Records) -> Finding | None:
    """An attack that cannot even win with the whole box to move in is broken, or its gradient is.

    The same of one where every pixel may move by half its range: all samples share the grey image there, so no model is
    right more often than by chance. A detector may reject that image.
    """
    return _without_limit(records) or _grey(records)


def _without_limit(records: Records) -> Finding | None:
    found, allowed = records.outcome(Unbounded, NAME), limit("UNBOUNDED_FAILS")
    if found is None or found.samples == 0:
        return None
    share = found.survived / found.samples
    severity = allowed.judge(share)
    if severity is None:
        return None
    return Finding(
        code="UNBOUNDED_FAILS",
        severity=severity,
        message=f"{found.survived} of {found.samples} samples survive a gradient attack without a limit.",
        measured=share,
        threshold=allowed.threshold,
        remedy=_DETECTOR if found.rejects else _REMEDY,
    )


def _grey(records: Records) -> Finding | None:
    found, allowed = records.outcome(Radii, RADII), limit("UNBOUNDED_FAILS")
    if found is None or found.wide is None:
        return None
    chance, share = 1 / max(2, records.classes), found.wide / found.samples
    threshold = chance + CHANCE_SIGMAS * math.sqrt(chance * (1 - chance) / found.samples)
    if share <= threshold:
        return None
    return Finding(
        code="UNBOUNDED_FAILS",
        severity=allowed.severity,
        message=f"{found.wide} of {found.samples} samples survive a gradient attack that may turn each into the grey "
        "image, where no model can be right but by chance.",
        measured=share,
        threshold=threshold,
        remedy=_REMEDY,
    )
