"""Does a sample's answer depend on its neighbours in the batch?"""

from ...model_info import ModelInfo
from ...results import Finding
from ..limits import HALF_PRECISION, limit
from ..records import Probe
from .unchecked import NOT_ASKED, unchecked


def batch_independence(probe: Probe, info: ModelInfo) -> Finding:
    """A batch, a larger batch and its samples one by one: different answers, beyond the number format's rounding."""
    if probe.samples == 0:
        return unchecked("BATCH_INDEPENDENCE", NOT_ASKED)
    if probe.random:
        # Two draws differ, whoever draws them.
        return unchecked("BATCH_INDEPENDENCE", "the model is random, so two batches differ anyway")
    allowed = limit("BATCH_DEPENDENT")
    threshold = max(allowed.threshold, min(info.twin.tolerance, HALF_PRECISION))
    if probe.batch_difference <= threshold:
        return Finding(
            code="BATCH_INDEPENDENCE",
            severity="ok",
            message="Neighbours in the batch change nothing.",
            measured=probe.batch_difference,
            threshold=threshold,
        )
    return Finding(
        code="BATCH_DEPENDENT",
        severity=allowed.severity,
        message="The answer to a sample depends on the other samples of its batch.",
        measured=probe.batch_difference,
        threshold=threshold,
        remedy="Export the model in inference mode (batch normalisation with stored statistics).",
    )
