"""Is there a gradient, is it alive, and is it the slope of the twin?"""

from ...model_info import ModelInfo
from ...results import Finding, Severity
from ..records import Probe
from .unchecked import NOT_ASKED, unchecked

DEAD = 0.1
"""Share of samples. AutoAttack flags a single one; honest ReLU nets have a few dead points at random starts."""
SLOPE = 0.01
"""Relative error of a directional derivative in float64, at the best of several steps."""
SHARE = 0.9
"""Share of samples whose slope has to be right: a sample may sit on a kink."""


def gradient(probe: Probe, info: ModelInfo) -> Finding:
    """No gradient, one that fails, one that is zero, one that is not the slope; the first of these that holds."""
    if why := probe.no_gradient or probe.cut_gradient:
        message = f"There is no gradient, so only black-box attacks can run: {why.rstrip('.')}."
        remedy = "Give the original PyTorch module, or export the model with operators that have a gradient."
        return Finding(code="NO_GRADIENT", severity="severe", message=message, remedy=remedy)
    if probe.gradient_error:
        return Finding(
            code="GRADIENT_FAILS",
            severity="severe",
            message=f"Asking for a gradient failed: {probe.gradient_error.rstrip('.')}.",
            remedy="Look at `robcheck inspect`; without gradients only black-box attacks run.",
        )
    if probe.dead_gradients > DEAD * probe.gradient_samples:
        return _dead(probe)
    if probe.slope_errors:
        return _slopes(probe, info)
    return unchecked("GRADIENT", NOT_ASKED if probe.samples == 0 else probe.slopes_unchecked)


def _dead(probe: Probe) -> Finding:
    share = probe.dead_gradients / probe.gradient_samples
    return Finding(
        code="ZERO_GRADIENT",
        severity="severe",
        message=f"The gradient is zero or not finite on {share:.0%} of the samples, so gradient attacks are blind.",
        measured=share,
        threshold=DEAD,
        remedy="Choose a gradient that gets around the obstacle (gradient: bpda or bpda-identity).",
    )


def _slopes(probe: Probe, info: ModelInfo) -> Finding:
    errors = sorted(probe.slope_errors)
    right = sum(error <= SLOPE for error in errors)
    # The error that the required share of the samples stays below.
    worst = errors[-int((1 - SHARE) * len(errors)) - 1]
    said = f"In float64 the gradient is the slope between two points on {right} of {len(errors)} samples"
    if right >= SHARE * len(errors):
        return Finding(code="GRADIENT", severity="ok", message=f"{said}.", measured=worst, threshold=SLOPE)
    severity, remedy = _judged(probe, info)
    return Finding(
        code="WRONG_GRADIENT",
        severity=severity,
        message=f"{said}.",
        measured=worst,
        threshold=SLOPE,
        remedy=remedy,
    )


def _judged(probe: Probe, info: ModelInfo) -> tuple[Severity, str]:
    """Over an obstacle no honest gradient is the slope; there the ascent has to speak for the one in use."""
    if info.obstacles and probe.used and "exact" not in probe.used:
        return "info", f"Obstacles make it so ({', '.join(info.obstacles)}); attacks use stand-ins, see the ascent."
    if info.obstacles and any(a.leads_uphill for a in probe.ascents if a.gradient in probe.used):
        return "warning", f"Obstacles may make it so ({', '.join(info.obstacles)}); it does lead uphill."
    return "severe", "Look for a backward pass of its own, a detach or a rounding in the model."
