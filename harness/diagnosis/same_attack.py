"""Does anything attack the model but what it was trained against?"""

from ..results import Finding
from .limits import limit
from .records import Records


def same_attack(records: Records) -> Finding | None:
    """Speaks only where the owner of the model says what it was trained against.

    Source: Carlini et al. 2019, section 4; reference sheet C2.15.
    """
    ran = {a.attack for a in records.attacks if a.status in ("ok", "idle") and a.attack != "controls"}
    if not records.trained_with or not records.complete or not ran or ran - {records.trained_with}:
        return None
    allowed = limit("SAME_ATTACK")
    return Finding(
        code="SAME_ATTACK",
        severity=allowed.severity,
        message=f"The only attack that ran is {records.trained_with}, which the model was trained against.",
        measured=1,
        threshold=allowed.threshold,
        remedy="Add another attack to the suite, or use the built-in ones.",
    )
