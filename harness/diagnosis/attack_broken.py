"""Does the attack win where there is no defense?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .limits import limit
from .records import Records

NAME = "sibling"


@dataclass(frozen=True)
class Sibling:
    """The same attack on the classifier without its stages and its detector."""

    samples: int
    bare: int
    """Samples that fell at the radius of the threat model."""
    defended: int
    """Of the same samples, those that fell with the defenses, to whatever attack of the plan."""
    unbounded: int | None
    """Samples that fell with the whole box to move in; None where that was not asked, or has no meaning."""

    @property
    def measures(self) -> list[Measure]:
        """The share that fell in each case."""
        base = max(1, self.samples)
        rows = [
            Measure(label="broken without defenses", value=self.bare / base),
            Measure(label="broken with them, by the whole plan", value=self.defended / base),
        ]
        if self.unbounded is not None:
            rows.append(Measure(label="broken without defenses and without a limit", value=self.unbounded / base))
        return rows


def attack_broken(records: Records) -> Finding | None:
    """A bare model that resists at the radius may have been trained to, so that alone is a note: that the defenses
    resist then proves nothing about them. One that resists without any limit has a broken attack or gradient: severe.

    That the defended target stands where its sibling falls is what a defense claims, and no finding.
    Source: Carlini et al. 2019, section 5.5 and 5.8; reference sheet C2.10.
    """
    found = records.outcome(Sibling, NAME)
    if found is None:
        return None
    allowed, base = limit("ATTACK_BROKEN"), max(1, found.samples)
    if found.unbounded is not None and (severity := allowed.judge_low(found.unbounded / base)) is not None:
        return Finding(
            code="ATTACK_BROKEN",
            severity=severity,
            message=f"Without its defenses and without a limit {found.unbounded} of {found.samples} samples fall.",
            measured=found.unbounded / base,
            threshold=allowed.threshold,
            remedy="The gradient of the model itself does not lead uphill: look for masking or saturation.",
        )
    resists = limit("SIBLING_RESISTS")
    if (severity := resists.judge_low(found.bare / base)) is None:
        return None
    return Finding(
        code="SIBLING_RESISTS",
        severity=severity,
        message=f"Without its defenses {found.bare} of {found.samples} samples fall at this radius, with them "
        f"{found.defended}: the model by itself resists, and a high number says nothing of the defenses.",
        measured=found.bare / base,
        threshold=resists.threshold,
        remedy="Evaluate the bare model too: where it was trained to resist, the number is its own.",
    )
