"""Did the run come to its end?"""

from ..results import Finding
from .limits import limit
from .records import Records


def incomplete(records: Records) -> Finding | None:
    """An interrupted run has not asked everything, its controls included."""
    if records.complete:
        return None
    return Finding(
        code="INCOMPLETE",
        severity=limit("INCOMPLETE").severity,
        message="The run ended before everything was asked.",
        remedy="Run again to the end.",
    )
