"""Did any attack climb a gradient of the target, where it has one?"""

from ..results import Finding
from .limits import limit
from .records import Records


def no_gradient_attack(records: Records) -> Finding | None:
    """Without such an attack nothing tests the others: an adversary who knows everything would have made one.

    Source: Carlini et al. 2019, 4 (attacks have to be adaptive) and 5.7.
    """
    ran = [a for a in records.attacks if a.status in ("ok", "idle") and a.attack != "controls"]
    if not ran or records.probe.no_gradient or any(a.gradient and a.attack != "transfer" for a in ran):
        return None
    return Finding(
        code="NO_GRADIENT_ATTACK",
        severity=limit("NO_GRADIENT_ATTACK").severity,
        message="The target has a gradient, and no attack climbed it.",
        remedy="Add an attack that does (pgd, apgd), or run the suite adaptive.",
    )
