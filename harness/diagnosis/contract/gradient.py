"""Is there a gradient, is it alive, and is it the slope of the twin?"""

from typing import get_args

from ...gradients.spec import Differentiable
from ...model_info import ModelInfo
from ...results import Finding, Severity
from ..limits import ALIKE, BLIND, RIGHT_SLOPES, limit
from ..records import LongSteps, Probe
from .unchecked import NOT_ASKED, unchecked

_LOOK = "Look for a backward pass or a hook of its own, a detach or a rounding in the model."


def gradient(probe: Probe, info: ModelInfo) -> Finding:
    """No gradient, one that fails, one that is zero, one that is not the slope; the first of these that holds.

    Where the run went on with another backward pass that leads uphill, it no longer rests on one that is dead. Slopes
    from answers alone are a weaker attack, and a wrong gradient was made by somebody: both stay what they are.
    """
    found = _found(probe, info)
    other = probe.escalated.split(",")[0] in get_args(Differentiable)
    if found.severity != "severe" or not other or found.code != "ZERO_GRADIENT":
        return found
    remedy = f"Attacks went on with {probe.escalated}, which leads uphill."
    return found.model_copy(update={"severity": "warning", "remedy": remedy})


def _found(probe: Probe, info: ModelInfo) -> Finding:
    if why := probe.no_gradient or probe.cut_gradient:
        message = f"There is no gradient, so only black-box attacks can run: {why.rstrip('.')}."
        remedy = "Give the original PyTorch module, or export the model with operators that have a gradient."
        return Finding(code="NO_GRADIENT", severity=limit("NO_GRADIENT").severity, message=message, remedy=remedy)
    if probe.cut_rejection:
        message = "No gradient leads from the rejection score to the input, so attacks cannot steer past the detector."
        remedy = "Look for a no_grad, a detach or numpy between input and score."
        return Finding(code="NO_GRADIENT", severity=limit("NO_GRADIENT").severity, message=message, remedy=remedy)
    if probe.gradient_error:
        return Finding(
            code="GRADIENT_FAILS",
            severity=limit("GRADIENT_FAILS").severity,
            message=f"Asking for a gradient failed: {probe.gradient_error.rstrip('.')}.",
            remedy="Look at `robcheck inspect`; without gradients only black-box attacks run.",
        )
    if probe.dead_gradients > limit("ZERO_GRADIENT").threshold * probe.gradient_samples:
        return _dead(probe)
    if probe.long_steps is not None and not probe.long_steps.agrees:
        return _blind(probe.long_steps)
    found = _slopes(probe, info) if probe.slope_errors else _unchecked(probe)
    if probe.dead_gradients and found.severity in ("ok", "info"):
        return _dead(probe)
    return found


def _dead(probe: Probe) -> Finding:
    share, allowed = probe.dead_gradients / probe.gradient_samples, limit("ZERO_GRADIENT")
    many = share > allowed.threshold
    return Finding(
        code="ZERO_GRADIENT",
        severity=allowed.severity if many else allowed.milder,
        message=f"The gradient is zero or not finite on {share:.0%} of the samples, so gradient attacks are blind"
        f"{'' if many else ' there, unless another step finds one'}.",
        measured=share,
        threshold=allowed.threshold,
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
        severity=limit("WRONG_GRADIENT").severity,
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
    errors, largest = sorted(probe.slope_errors), probe.slope_limit
    right = sum(error <= largest for error in errors)
    # The error that the required share of the samples stays below.
    worst = errors[-int((1 - RIGHT_SLOPES) * len(errors)) - 1]
    digits = "64" if largest == limit("WRONG_GRADIENT").threshold else "32"
    said = f"In float{digits} the gradient is the slope between two points on {right} of {len(errors)} samples"
    if right >= RIGHT_SLOPES * len(errors):
        return Finding(code="GRADIENT", severity="ok", message=f"{said}.", measured=worst, threshold=largest)
    severity, remedy = _judged(probe, info)
    return Finding(
        code="WRONG_GRADIENT",
        severity=severity,
        message=f"{said}.",
        measured=worst,
        threshold=largest,
        remedy=remedy,
    )


def _judged(probe: Probe, info: ModelInfo) -> tuple[Severity, str]:
    """Over an obstacle no honest gradient is the slope; there long steps and the ascent speak for the one in use."""
    explained = info.obstacles and probe.unexplained <= (1 - RIGHT_SLOPES) * len(probe.slope_errors)
    names = ", ".join(info.obstacles)
    if explained and probe.used and "exact" not in probe.used:
        return "info", f"Obstacles make it so ({names}); attacks use stand-ins, see the ascent."
    if explained and any(a.leads_uphill for a in probe.ascents if a.gradient in probe.used):
        return limit("WRONG_GRADIENT").milder, f"Obstacles may make it so ({names}); it does lead uphill."
    return limit("WRONG_GRADIENT").severity, _LOOK
