"""How does the model do beyond the claim: turned, shifted, noisy, blurred, paler, darker?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .limits import limit
from .records import Records

NAME = "broader"


@dataclass(frozen=True)
class Corrupted:
    """One corruption, at its strengths."""

    label: str
    right: tuple[int, ...]
    """Samples that are right, strength by strength."""
    worst: int
    """Samples that are right at every strength."""


@dataclass(frozen=True)
class Broader:
    """Clean samples under changes that no ball around them holds."""

    samples: int
    clean: int
    corruptions: tuple[Corrupted, ...]

    @property
    def measures(self) -> list[Measure]:
        """Accuracy at the worst strength for each sample."""
        base = max(1, self.samples)
        rows = [Measure(label=f"{c.label}: worst of {len(c.right)}", value=c.worst / base) for c in self.corruptions]
        return [Measure(label="clean", value=self.clean / base), *rows]


def broader(records: Records) -> Finding | None:
    """The worst of them, for whoever reads more into the number than a norm and a radius; never held against a PASS.

    Source: Carlini et al. 2019 and Hendrycks and Dietterich 2019; reference sheet C2.18.
    """
    found = records.outcome(Broader, NAME)
    if found is None or found.samples == 0 or not found.corruptions:
        return None
    each = ", ".join(f"{c.label} {c.worst / found.samples:.0%}" for c in found.corruptions)
    worst = min(found.corruptions, key=lambda c: c.worst)
    allowed = limit("BROADER")
    return Finding(
        code="BROADER",
        severity=allowed.severity,
        message=f"Outside of the threat model (right when clean: {found.clean / found.samples:.0%}): {each}.",
        measured=worst.worst / found.samples,
        remedy="Claim robustness for the stated norm and radius only.",
    )
