"""Is there a gradient, is it alive, and is it the slope of the twin?"""

from ...model_info import ModelInfo
from ...results import Finding, Severity
from ..records import ALIKE, BLIND, LongSteps, Probe
from .unchecked import NOT_ASKED, unchecked

DEAD = 0.1
"""Share of samples. AutoAttack flags a single one; honest ReLU nets have a few dead points at random starts."""
SLOPE = 0.01
"""Relative error of a directional derivative in float64, at the best of several steps."""
COARSE_SLOPE = 0.2
"""The same in float32, for models that do not run in float64."""
SHARE = 0.9
"""Share of samples whose slope has to be right: a sample may sit on a kink."""

_LOOK = "Look for a backward pass or a hook of its own, a detach or a rounding in the model."


def gradient(probe: Probe, info: ModelInfo) -> Finding:
    """No gradient, one that fails, one that is zero, one that is not the slope; the first of these that holds."""
    if why := probe.no_gradient or probe.cut_gradient:
        message = f"There is no gradient, so only black-box attacks can run: {why.rstrip('.')}."
        remedy = "Give the original PyTorch module, or export the model with operators that have a gradient."
        return Finding(code="NO_GRADIENT", severity="severe", message=message, remedy=remedy)
    if probe.cut_rejection:
        message = "No gradient leads from the rejection score to the input, so attacks cannot steer past the detector."
        remedy = "Look for a no_grad, a detach or numpy between input and score."
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
    if probe.long_steps is not None and not probe.long_steps.agrees:
        return _blind(probe.long_steps)
    found = _slopes(probe, info) if probe.slope_errors else _unchecked(probe)
    if probe.dead_gradients and found.severity in ("ok", "info"):
        return _dead(probe)
    return found


def _dead(probe: Probe) -> Finding:
    share = probe.dead_gradients / probe.gradient_samples
    return Finding(
        code="ZERO_GRADIENT",
        severity="severe" if share > DEAD else "warning",
        message=f"The gradient is zero or not finite on {share:.0%} of the samples, so gradient attacks are blind"
        f"{'' if share > DEAD else ' there, unless another step finds one'}.",
        measured=share,
        threshold=DEAD,
        remedy="Choose a gradient that gets around the obstacle (gradient: bpda or bpda-identity).",
    )


def _blind(found: LongSteps) -> Finding:
    if found.correlation < ALIKE:
        said = f"What the gradient predicts for long steps and what they do correlate by {found.correlation:.2f} only"
        measured, threshold = found.correlation, ALIKE
    else:
        said = f"{found.blind:.0%} of what long steps change lies where the gradient sees {found.expected:.1%} of it"
        measured, threshold = found.blind, BLIND
    return Finding(
        code="WRONG_GRADIENT",
        severity="severe",
        message=f"{said}.",
        measured=measured,
        threshold=threshold,
        remedy=_LOOK,
    )


def _unchecked(probe: Probe) -> Finding:
    if probe.samples == 0:
        return unchecked("GRADIENT", NOT_ASKED)
    if probe.long_steps is None:
        return unchecked("GRADIENT", probe.slopes_unchecked)
    message = f"The gradient predicts long steps, {probe.long_steps.correlation:.2f} of 1"
    return Finding(code="GRADIENT", severity="ok", message=f"{message}; small ones: {probe.slopes_unchecked}.")


def _slopes(probe: Probe, info: ModelInfo) -> Finding:
    errors, limit = sorted(probe.slope_errors), probe.slope_limit
    right = sum(error <= limit for error in errors)
    # The error that the required share of the samples stays below.
    worst = errors[-int((1 - SHARE) * len(errors)) - 1]
    digits = "64" if limit == SLOPE else "32"
    said = f"In float{digits} the gradient is the slope between two points on {right} of {len(errors)} samples"
    if right >= SHARE * len(errors):
        return Finding(code="GRADIENT", severity="ok", message=f"{said}.", measured=worst, threshold=limit)
    severity, remedy = _judged(probe, info)
    return Finding(
        code="WRONG_GRADIENT",
        severity=severity,
        message=f"{said}.",
        measured=worst,
        threshold=limit,
        remedy=remedy,
    )


def _judged(probe: Probe, info: ModelInfo) -> tuple[Severity, str]:
    """Over an obstacle no honest gradient is the slope; there long steps and the ascent speak for the one in use."""
    explained = info.obstacles and probe.unexplained <= (1 - SHARE) * len(probe.slope_errors)
    names = ", ".join(info.obstacles)
    if explained and probe.used and "exact" not in probe.used:
        return "info", f"Obstacles make it so ({names}); attacks use stand-ins, see the ascent."
    if explained and any(a.leads_uphill for a in probe.ascents if a.gradient in probe.used):
        return "warning", f"Obstacles may make it so ({names}); it does lead uphill."
    return "severe", _LOOK
