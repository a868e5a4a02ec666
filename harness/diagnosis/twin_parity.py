"""Is the differentiable twin the deployed model?"""

from ..results import Finding
from .records import Records

THRESHOLD = 1e-3
"""Largest absolute difference of logits, relative to the largest logit."""


def twin_parity(records: Records) -> Finding | None:
    """Gradients of another function are no white-box attack."""
    probe = records.probe
    if probe.parity is None:
        return None
    relative = probe.parity / max(probe.scale, 1e-12)
    if relative <= THRESHOLD and probe.twin_disagrees == 0:
        return None
    return Finding(
        code="TWIN_PARITY",
        severity="severe",
        message=f"The differentiable twin differs from the deployed model by {relative:.1e} of the largest logit.",
        measured=relative,
        threshold=THRESHOLD,
        remedy="Report the file's operators (`robcheck inspect`): gradient attacks are only transfer attacks.",
    )
