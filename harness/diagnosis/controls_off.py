"""Were there controls at all?"""

from ..results import Finding
from .limits import limit
from .records import Records


def controls_off(records: Records) -> Finding | None:
    """A run that asked for no controls may fail a gate, but not pass one."""
    if records.controls != "none" or not records.complete:
        return None
    return Finding(
        code="CONTROLS_OFF",
        severity=limit("CONTROLS_OFF").severity,
        message="No control experiment was asked for, so nothing says whether the attacks did their work.",
        remedy="Leave out `--controls none`, or `controls: none` in the suite.",
    )
