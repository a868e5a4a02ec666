"""Do points drawn at random break what every attack left standing?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .limits import limit
from .records import Records

NAME = "random"


@dataclass(frozen=True)
class RandomPoints:
    """Points drawn from the ball of standing samples, one half from inside and one half from its extreme points."""

    samples: int
    points: int
    """Per sample."""
    broken: int
    """Samples that fell."""

    @property
    def measures(self) -> list[Measure]:
        """What fell."""
        return [Measure(label=f"broken by {self.points} random points", value=self.broken / max(1, self.samples))]


def random_finds_ae(records: Records) -> Finding | None:
    """No attack should be beaten by chance.

    Source: Carlini et al. 2019, section 5.5; Athalye et al. 2018, section 3.1.
    """
    found = records.outcome(RandomPoints, NAME)
    if found is None or found.samples == 0:
        return None
    share, allowed = found.broken / found.samples, limit("RANDOM_FINDS_AE")
    severity = allowed.judge(share)
    if severity is None:
        return None
    return Finding(
        code="RANDOM_FINDS_AE",
        severity=severity,
        message=f"{found.broken} of {found.samples} samples that every attack left standing fall to {found.points} "
        "random points of their balls.",
        measured=share,
        threshold=allowed.threshold,
        remedy="The attacks miss what chance finds: look for masked gradients, use another gradient, add square or "
        "boundary attacks.",
    )
