"""Was the question put on the 8-bit pixel grid?"""

from ..results import Finding
from .limits import limit
from .records import Records


def pixel_grid(records: Records) -> Finding | None:
    """Whoever compares the number has to know that other samples were attacked than were given."""
    threat = records.threat
    if threat is None or threat.pixel_grid == "none" or threat.rounded == 0:
        return None
    allowed = limit("PIXEL_GRID")
    return Finding(
        code="PIXEL_GRID",
        severity=allowed.severity,
        message=f"{threat.rounded} of {records.samples} samples lay off the 8-bit pixel grid and were rounded to it.",
        measured=threat.rounded,
        threshold=allowed.threshold,
        remedy="Nothing is to be done if the product gets 8-bit images; else leave `--pixel-grid` out.",
    )
