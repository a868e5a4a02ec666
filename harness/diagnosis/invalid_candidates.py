"""Did an attack leave its ball?"""

from ..results import Finding
from .limits import limit
from .records import Records


def invalid_candidates(records: Records) -> Finding | None:
    """Points outside ball or box, or not finite, are never counted; that they occur at all is a defect."""
    count = sum(a.invalid for a in records.attacks)
    if count == 0:
        return None
    return Finding(
        code="INVALID_CANDIDATES",
        severity=limit("INVALID_CANDIDATES").severity,
        message=f"{count} proposed points were outside the ball or the box, or not finite; none was counted.",
        measured=count,
        threshold=limit("INVALID_CANDIDATES").threshold,
        remedy="Report this attack: its projection is wrong.",
    )
