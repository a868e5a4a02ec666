"""Is the model after the attacks the model that was there before?"""

from ..results import Finding
from .records import DIFFERENCE, Records


def state_changed(records: Records) -> Finding | None:
    """The first samples, asked again at the end, are answered differently."""
    if records.drift <= DIFFERENCE or records.probe.random:
        return None
    return Finding(
        code="STATE_CHANGED",
        severity="severe",
        message="The model answers the first samples differently after the attacks than before them.",
        measured=records.drift,
        threshold=DIFFERENCE,
        remedy="Look for counters, caches or statistics that the forward pass changes.",
    )
