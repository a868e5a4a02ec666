"""Is the gradient alive?"""

from ..results import Finding
from .records import Records

THRESHOLD = 0.1
"""Share of samples. AutoAttack flags a single one; honest ReLU nets have a few dead points at random starts."""


def dead_gradient(records: Records) -> Finding | None:
    """The margin gradient is zero or not finite on too many samples."""
    probe = records.probe
    if probe.gradient_error:
        return Finding(
            code="GRADIENT_FAILS",
            severity="severe",
            message=f"Asking for a gradient failed: {probe.gradient_error}",
            remedy="Look at `robcheck inspect`; without gradients only black-box attacks run.",
        )
    if probe.gradient_samples == 0 or probe.dead_gradients <= THRESHOLD * probe.gradient_samples:
        return None
    share = probe.dead_gradients / probe.gradient_samples
    return Finding(
        code="ZERO_GRADIENT",
        severity="severe",
        message=f"The gradient is zero or not finite on {share:.0%} of the samples, so gradient attacks are blind.",
        measured=share,
        threshold=THRESHOLD,
        remedy="Choose a gradient that gets around the obstacle (gradient: bpda or bpda-identity).",
    )
