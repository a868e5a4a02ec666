"""Is the differentiable twin the deployed model?"""

from ...model_info import ModelInfo, Rejection
from ...results import Finding
from ..limits import limit
from ..records import Probe
from .unchecked import NOT_ASKED, unchecked

_REMEDY = "Report the file's operators (`robcheck inspect`): gradient attacks are only transfer attacks."


def parity(probe: Probe, info: ModelInfo) -> Finding:
    """Gradients of another function are no white-box attack; what the number format rounds away is allowed."""
    if probe.one_sided_noise:
        return _severe(f"{probe.one_sided_noise} draws random numbers and the other does not: they are two models.")
    if probe.twin_error:
        return _severe(f"The differentiable twin cannot be compared: {probe.twin_error}.")
    if probe.parity is None:
        return unchecked("PARITY", _reason(probe))
    allowed = info.twin.allowed(probe.scale)
    message = f"Twin and deployed model differ by {probe.parity:.2g} on scores up to {probe.scale:.3g}"
    # Written so that NaN is no agreement.
    if probe.excess <= allowed and probe.twin_disagrees == 0:
        if (off := _rejection(probe, info)) is not None:
            return off
        if probe.rejection_parity is not None:
            message += f" and by {probe.rejection_parity:.2g} on rejection scores up to {probe.rejection_scale:.3g}"
        rest = "in the mean of many draws, which is chance" if probe.random else f"on {probe.samples} samples"
        return Finding(code="PARITY", severity="ok", message=f"{message}, {rest}.", **_numbers(probe, allowed))
    if probe.random:
        message += ", in the mean of many draws, which is more than chance"
    if probe.twin_disagrees:
        message += f", and name other classes on {probe.twin_disagrees} of {probe.samples} samples"
    return _severe(f"{message}.", **_numbers(probe, allowed))


def _rejection(probe: Probe, info: ModelInfo) -> Finding | None:
    """What is wrong with the twin's rejection score."""
    if probe.rejection_parity is None:
        return None
    allowed = (info.rejection or Rejection(output="", above=0.0)).allowed(probe.rejection_scale)
    if probe.rejection_excess <= allowed:
        return None
    message = f"The rejection scores of twin and deployed model differ by {probe.rejection_parity:.2g} on scores "
    message += f"up to {probe.rejection_scale:.3g}."
    return _severe(message, probe.rejection_parity, allowed + probe.rejection_parity - probe.rejection_excess)


def _numbers(probe: Probe, allowed: float) -> dict[str, float | None]:
    """What chance explains is added to what may be."""
    chance = 0.0 if probe.parity is None else probe.parity - probe.excess
    return {"measured": probe.parity, "threshold": allowed + (chance if probe.random else 0.0)}


def _reason(probe: Probe) -> str:
    if probe.samples == 0:
        return NOT_ASKED
    return "there is no twin" if probe.no_gradient else "no answer was usable"


def _severe(message: str, measured: float | None = None, threshold: float | None = None) -> Finding:
    return Finding(
        code="TWIN_PARITY",
        severity=limit("TWIN_PARITY").severity,
        message=message,
        measured=measured,
        threshold=threshold,
        remedy=_REMEDY,
    )
