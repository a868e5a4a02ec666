"""Does the model answer with NaN?"""

from ..results import Finding
from .records import Records


def nan_output(records: Records) -> Finding | None:
    """NaN on clean samples."""
    if records.probe.nan_outputs == 0:
        return None
    return Finding(
        code="NAN_OUTPUT",
        severity="severe",
        message=f"The model answers with NaN on {records.probe.nan_outputs} of {records.probe.samples} clean samples.",
        measured=records.probe.nan_outputs,
        threshold=0,
        remedy="Check the stated range and normalisation, then the weights.",
    )
