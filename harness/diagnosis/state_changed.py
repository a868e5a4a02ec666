"""Is the model after the attacks the model that was there before?"""

from ..results import Finding
from .limits import limit
from .records import Records


def state_changed(records: Records) -> Finding | None:
    """The first samples, asked again at the end, are answered differently."""
    if records.drift <= limit("STATE_CHANGED").threshold or records.probe.random:
        return None
    return Finding(
        code="STATE_CHANGED",
        severity=limit("STATE_CHANGED").severity,
        message="The model answers the first samples differently after the attacks than before them.",
        measured=records.drift,
        threshold=limit("STATE_CHANGED").threshold,
        remedy="Look for counters, caches or statistics that the forward pass changes.",
    )
