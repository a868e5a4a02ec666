"""Did an attack without gradients find what the gradient attacks missed?"""

from ..results import Finding
from .records import Records

SHARE = 0.005
LEAST = 3
"""More than .5 points and at least 3 samples. Source: Carlini et al. 2019, section 5.7; AutoAttack flags .002."""


def blackbox_beats_whitebox(records: Records) -> Finding | None:
    """Samples that fell only to black-box attacks: a sign of masked gradients."""
    count, base = records.blackbox_only, max(1, records.samples)
    if count == 0 or not any(a.gradient and a.status == "ok" for a in records.attacks):
        return None
    severe = count >= LEAST and count > SHARE * base
    return Finding(
        code="BLACKBOX_BEATS_WHITEBOX",
        severity="severe" if severe else "warning",
        message=f"{count} of {base} samples fell to a black-box attack after every gradient attack had failed.",
        measured=count / base,
        threshold=SHARE,
        remedy="Gradients may be masked: use another gradient (bpda), more restarts, or a stronger suite.",
    )
