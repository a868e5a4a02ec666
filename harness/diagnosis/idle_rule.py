"""Does the declared decision rule decide anything?"""

from ..results import Finding
from .limits import limit
from .records import Records


def idle_rule(records: Records) -> Finding | None:
    """Equal answers have the same majority and mean as each of them."""
    if not records.idle_rule:
        return None
    return Finding(
        code="IDLE_RULE",
        severity=limit("IDLE_RULE").severity,
        message=f"Nothing is random, so the decision rule {records.idle_rule} changes nothing.",
        remedy="Leave it out, or check that the model given is the one that is deployed.",
    )
