"""Did an attack without gradients find what the gradient attacks missed?"""

from ..results import Finding
from .limits import LEAST_SAMPLES, limit
from .records import Records


def blackbox_beats_whitebox(records: Records) -> Finding | None:
    """Samples that fell only to black-box attacks: a sign of masked gradients."""
    count, base = records.blackbox_only, max(1, records.samples)
    if count == 0 or not any(a.gradient and a.status == "ok" for a in records.attacks):
        return None
    allowed = limit("BLACKBOX_BEATS_WHITEBOX")
    severe = count >= LEAST_SAMPLES and allowed.judge(count / base) == "severe"
    return Finding(
        code="BLACKBOX_BEATS_WHITEBOX",
        severity=allowed.severity if severe else allowed.milder,
        message=f"{count} of {base} samples fell to a black-box attack after every gradient attack had failed.",
        measured=count / base,
        threshold=allowed.threshold,
        remedy="Gradients may be masked: use another gradient (bpda), more restarts, or a stronger suite.",
    )
