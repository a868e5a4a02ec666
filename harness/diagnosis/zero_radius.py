"""Was there anything to attack?"""

from ..results import Finding
from .limits import limit
from .records import Records


def zero_radius(records: Records) -> Finding | None:
    """A radius of 0 leaves nothing but the clean sample."""
    if records.zero_radii == 0:
        return None
    return Finding(
        code="ZERO_RADIUS",
        severity=limit("ZERO_RADIUS").severity,
        message=f"{records.zero_radii} of {records.samples} samples have a radius of 0, so nothing attacks them.",
        measured=records.zero_radii,
        threshold=limit("ZERO_RADIUS").threshold,
        remedy="Give the radius that the claim is about (--epsilon).",
    )
