"""Did every control experiment come to its end?"""

from ..results import Finding
from .limits import limit
from .records import Records


def control_failed(records: Records) -> Finding | None:
    """An experiment that raised has told nothing, which is no good news."""
    if not records.unrun:
        return None
    names = ", ".join(records.unrun)
    reasons = "; ".join(dict.fromkeys(reason.rstrip(".") for reason in records.unrun.values()))
    return Finding(
        code="CONTROL_FAILED",
        severity=limit("CONTROL_FAILED").severity,
        message=f"{len(records.unrun)} control experiments failed: {names} ({reasons}).",
        measured=len(records.unrun),
        threshold=limit("CONTROL_FAILED").threshold,
        remedy="Mend what failed and run again: a number without its controls is a number without proof.",
    )
