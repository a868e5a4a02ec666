"""Does a sample's answer depend on its neighbours in the batch?"""

from ..results import Finding
from .nondeterministic import THRESHOLD
from .records import Records


def batch_dependent(records: Records) -> Finding | None:
    """A batch and its samples one by one, two answers."""
    probe = records.probe
    if probe.batch_difference <= THRESHOLD or probe.difference > THRESHOLD:
        return None
    return Finding(
        code="BATCH_DEPENDENT",
        severity="severe",
        message="The answer to a sample depends on the other samples of its batch.",
        measured=probe.batch_difference,
        threshold=THRESHOLD,
        remedy="Export the model in inference mode (batch normalisation with stored statistics).",
    )
