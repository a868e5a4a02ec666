"""Are there still adversarial examples when they have to be stored as an image?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .limits import LEAST_SAMPLES, limit
from .records import Records

NAME = "grid"


@dataclass(frozen=True)
class OnGrid:
    """The worst cases, moved to the 8-bit pixel grid inside ball and box."""

    samples: int
    """Whose worst case is not the clean sample."""
    kept: int
    breaks: int
    """Those of them that are broken, and that stay so."""
    rates: tuple[float, ...]
    """How often each sample of which something is known is right, in order."""

    @property
    def measures(self) -> list[Measure]:
        """What stays."""
        share = self.kept / self.breaks if self.breaks else 1.0
        return [Measure(label="breaks that are breaks on the 8-bit grid", value=share)]


def invalid_ae(records: Records) -> Finding | None:
    """Breaks that rounding undoes.

    Source: Carlini et al. 2019, section 4.11; reference sheet C2.16.
    """
    found = records.outcome(OnGrid, NAME)
    if found is None or found.breaks == 0:
        return None
    share, allowed = found.kept / found.breaks, limit("INVALID_AE")
    severity = allowed.judge_low(share)
    if severity is None or found.breaks - found.kept < LEAST_SAMPLES:
        return None
    return Finding(
        code="INVALID_AE",
        severity=severity,
        message=f"{found.breaks - found.kept} of {found.breaks} broken samples stand on the 8-bit pixel grid: neither "
        "rounding nor a short search finds a break there. The headline counts them as broken, which never flatters.",
        measured=share,
        threshold=allowed.threshold,
        remedy="If the model only ever reads 8-bit images, attack and judge it on that grid (--pixel-grid 8bit).",
    )
