"""Do the networks that attacks were crafted on resemble what they stand in for?"""

from ..results import Finding
from .limits import limit
from .records import Records


def poor_fit(records: Records) -> Finding | None:
    """A bad fit is a weak attack, not a robust model.

    Source: "One Man's Trash is Another Man's Treasure", section 4 (reparameterisation); the thresholds are ours.
    """
    poor = {label: fit for label, fit in records.fits.items() if not fit.good}
    if not poor:
        return None
    used = {attack.gradient.split(", ")[0] for attack in records.attacks if attack.gradient and attack.status == "ok"}
    others = used - {label.split(", ")[0] for label in poor}
    worst = next(iter(poor.values()))
    return Finding(
        code="POOR_FIT",
        severity=limit("POOR_FIT").milder if others else limit("POOR_FIT").severity,
        message=f"A network that attacks were crafted on does not resemble the target: {worst.text}.",
        measured=worst.measured,
        threshold=worst.threshold,
        remedy="Train it longer (`steps`, `width`), or use another gradient: what these attacks left standing proves "
        "nothing.",
    )
