"""Is the model as accurate as its owner says?"""

from ...model_info import ModelInfo
from ...results import Finding
from ...statistics import clopper_pearson
from ..limits import CONFIDENCE, limit
from ..records import Probe
from .unchecked import unchecked


def accuracy(probe: Probe, info: ModelInfo) -> Finding:  # noqa: ARG001
    """Severe when the shortfall is more than allowed and more than the sampling of these samples explains."""
    if probe.expected_accuracy is None:
        return unchecked(
            "ACCURACY", "nobody said what to expect", "Give --expect-accuracy, as published for the model."
        )
    if probe.accuracy_samples == 0:
        return unchecked("ACCURACY", "no labelled sample was answered")
    n, allowed = probe.accuracy_samples, limit("ACCURACY_TOO_LOW")
    threshold = probe.expected_accuracy - allowed.threshold
    high = clopper_pearson(min(probe.accuracy * n, n), n, CONFIDENCE)[1]
    said = f"{probe.accuracy:.1%} of {n:,} clean samples are right, {probe.expected_accuracy:.1%} were expected"
    if probe.accuracy >= threshold:
        return Finding(code="ACCURACY", severity="ok", message=f"{said}.", measured=probe.accuracy, threshold=threshold)
    severe = high < threshold
    return Finding(
        code="ACCURACY_TOO_LOW",
        severity=allowed.severity if severe else allowed.milder,
        message=f"{said}{'' if severe else '; so few samples could be chance'}.",
        measured=probe.accuracy,
        threshold=threshold,
        remedy="Check range, mean and std, layout, channel order and the labels."
        if severe
        else "Give more samples (--samples).",
    )
