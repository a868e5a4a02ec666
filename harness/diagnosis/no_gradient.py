"""Is there a gradient to attack with?"""

from ..results import Finding
from .records import Records


def no_gradient(records: Records) -> Finding | None:
    """No differentiable twin: black-box attacks alone over-estimate robustness."""
    if not records.twin_missing:
        return None
    return Finding(
        code="NO_GRADIENT",
        severity="severe",
        message=f"Attacked black-box only: {records.twin_missing}.",
        remedy="Give the original PyTorch module, or export the model with operators that have a gradient.",
    )
