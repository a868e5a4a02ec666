"""Does the attack succeed when it may do anything?"""

from ..results import Finding
from .records import Records

THRESHOLD = 0.05
"""Share that may survive. Source: Carlini et al. 2019, section 5.5: an unbounded attack has to reach 0 %."""


def unbounded_fails(records: Records) -> Finding | None:
    """An attack that cannot even win with the whole box to move in is broken, or its gradient is."""
    control = records.unbounded
    if control is None or control.samples == 0 or control.survived <= THRESHOLD * control.samples:
        return None
    share = control.survived / control.samples
    return Finding(
        code="UNBOUNDED_FAILS",
        severity="severe",
        message=f"{control.survived} of {control.samples} samples survive a gradient attack without a limit.",
        measured=share,
        threshold=THRESHOLD,
        remedy="The gradient does not lead uphill: look for masking, saturation or a wrong estimator.",
    )
