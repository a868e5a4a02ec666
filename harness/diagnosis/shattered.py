"""Is there a slope that answers can tell?"""

from ..results import Finding
from .limits import limit
from .records import Records


def shattered(records: Records) -> Finding | None:
    """Where signs change with the length of the step, differences of answers are chance.

    Source: Athalye, Carlini and Wagner 2018, section 3.1 (shattered gradients).
    """
    found = records.probe.stability
    if found is None or not found.shattered:
        return None
    return Finding(
        code="SHATTERED",
        severity=limit("SHATTERED").severity,
        message=f"Slopes from answers keep their sign over steps from {found.sizes[0]:.2g} to {found.sizes[-1]:.2g} "
        f"in {found.overall:.0%} of the places only; one half is chance.",
        measured=found.overall,
        threshold=limit("SHATTERED").threshold,
        remedy="Use nes or smoothed with a larger `size`, or more directions.",
    )
