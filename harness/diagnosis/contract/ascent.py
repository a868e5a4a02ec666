"""Does the gradient lead uphill on the model that is deployed?"""

from ...gradients.ascent import Ascent
from ...model_info import ModelInfo
from ...results import Finding
from ..limits import limit
from ..records import Probe
from .unchecked import NOT_ASKED, unchecked


def ascent(probe: Probe, info: ModelInfo) -> Finding:
    """The best of the gradients in use has to beat random steps of equal size on most samples."""
    tried = [a for a in probe.ascents if a.gradient in probe.used] or list(probe.ascents)
    if not tried:
        return unchecked("ASCENT", _reason(probe))
    best = max(tried, key=lambda a: (not a.error, a.ascended / max(a.samples, 1), a.rise))
    if best.error:
        return _finding(best, f"Ten steps along the gradient could not be made: {best.error.rstrip('.')}.", info)
    if best.samples == 0:
        return unchecked("ASCENT", "no sample is right when clean and has room to move")
    said = (
        f"ten steps along the {best.gradient} gradient raise the deployed score by {best.rise:.3g} "
        f"(random steps: {best.random_rise:.3g}), clearly on {best.ascended} of {best.samples} samples"
    )
    if best.by_twin:
        said += f"; {best.by_twin} of them judged by the twin's scores, because the deployed ones do not move"
    return _finding(best, f"{said[0].upper()}{said[1:]}.", info)


def _reason(probe: Probe) -> str:
    if probe.samples == 0:
        return NOT_ASKED
    if probe.no_gradient or probe.cut_gradient:
        return "there is no gradient"
    return "no attack uses a gradient, or no sample is right when clean and has room to move"


def _finding(best: Ascent, message: str, info: ModelInfo) -> Finding:
    share, allowed = best.ascended / max(best.samples, 1), limit("NOT_ASCENDING")
    if best.leads_uphill:
        return Finding(code="ASCENT", severity="ok", message=message, measured=share, threshold=allowed.threshold)
    names = f" ({', '.join(info.obstacles)})" if info.obstacles else ""
    return Finding(
        code="NOT_ASCENDING",
        severity=allowed.severity,
        message=message,
        measured=share,
        threshold=allowed.threshold,
        remedy=f"Gradient attacks are no better than noise: look for masking or a wrong stand-in{names}.",
    )
