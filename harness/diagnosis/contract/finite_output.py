"""Does the model answer with numbers?"""

from ...model_info import ModelInfo
from ...results import Finding
from ..limits import limit
from ..records import Probe
from .unchecked import NOT_ASKED, unchecked


def finite_output(probe: Probe, info: ModelInfo) -> Finding:
    """NaN is severe; an infinite score may be meant (a class that is switched off)."""
    if probe.samples == 0:
        return unchecked("FINITE_OUTPUT", NOT_ASKED)
    if probe.nan_outputs:
        return Finding(
            code="NAN_OUTPUT",
            severity=limit("NAN_OUTPUT").severity,
            message=f"The model answers with NaN on {probe.nan_outputs} of {probe.samples} clean samples"
            f"{', rejection scores included' if info.rejection else ''}.",
            measured=probe.nan_outputs,
            threshold=0,
            remedy="Check the stated range and normalisation, then the weights"
            f"{' and the rejection output' if info.rejection else ''}.",
        )
    if probe.infinite_outputs:
        return Finding(
            code="INFINITE_OUTPUT",
            severity=limit("INFINITE_OUTPUT").severity,
            message=f"The model gives infinite scores on {probe.infinite_outputs} of {probe.samples} clean samples.",
            measured=probe.infinite_outputs,
            threshold=0,
            remedy="Export finite logits: losses cannot tell one infinite margin from another.",
        )
    return Finding(
        code="FINITE_OUTPUT",
        severity="ok",
        message=f"All scores are finite on {probe.samples} samples.",
        measured=0,
        threshold=0,
    )
