"""Does a sample's answer depend on its neighbours in the batch?"""

from ...model_info import ModelInfo
from ...results import Finding
from ..records import DIFFERENCE, Probe
from .unchecked import NOT_ASKED, unchecked

HALF = 5e-3
"""What half precision may round away; scales that are taken from the whole batch would hide behind more."""


def batch_independence(probe: Probe, info: ModelInfo) -> Finding:
    """A batch, a larger batch and its samples one by one: different answers, beyond the number format's rounding."""
    if probe.samples == 0:
        return unchecked("BATCH_INDEPENDENCE", NOT_ASKED)
    if probe.random:
        # Two draws differ, whoever draws them.
        return unchecked("BATCH_INDEPENDENCE", "the model is random, so two batches differ anyway")
    threshold = max(DIFFERENCE, min(info.twin.tolerance, HALF))
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
        severity="severe",
        message="The answer to a sample depends on the other samples of its batch.",
        measured=probe.batch_difference,
        threshold=threshold,
        remedy="Export the model in inference mode (batch normalisation with stored statistics).",
    )
