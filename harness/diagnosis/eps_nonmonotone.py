"""Does a larger ball help the attack?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .comparison import Comparison
from .limits import limit
from .records import Records

NAME = "radii"


@dataclass(frozen=True)
class Radius:
    """The same attack at one radius."""

    epsilon: float
    right: int
    """Samples right after this attack alone."""
    standing: int
    """Samples right after everything that was found within this radius."""


@dataclass(frozen=True)
class Radii:
    """One attack over growing balls, on samples that may be wrong when clean."""

    samples: int
    points: tuple[Radius, ...]
    """By radius, the smallest first."""
    smaller: float = 0.0
    larger: float = 0.0
    """The two radii of which the smaller one does best against the larger."""
    only_smaller: int = 0
    only_larger: int = 0
    """Samples that fell at one of these two alone."""
    wide: int | None = None
    """Samples right where every pixel may move by half its range; None where that was not tried or proves nothing."""

    @property
    def comparison(self) -> Comparison:
        """What falls in a ball falls in a larger one."""
        return Comparison(self.samples, self.only_smaller, self.only_larger)

    @property
    def measures(self) -> list[Measure]:
        """The curve."""
        return [Measure(label=f"right at {p.epsilon:.4g}", value=p.standing / self.samples) for p in self.points]


def eps_nonmonotone(records: Records) -> Finding | None:
    """An attack that does better in a smaller ball misses what is inside the larger one: its gradient misleads.

    Source: Carlini et al. 2019, section 5.4; Athalye et al. 2018, section 3.1.
    """
    found = records.outcome(Radii, NAME)
    if found is None or NAME not in records.significant:
        return None
    allowed = limit("EPS_NONMONOTONE")
    return Finding(
        code="EPS_NONMONOTONE",
        severity=allowed.severity,
        message=f"{found.only_smaller} of {found.samples} samples fall at a radius of {found.smaller:.4g} and not at "
        f"{found.larger:.4g}, where the same points are allowed; {found.only_larger} the other way round.",
        measured=found.comparison.lead,
        threshold=allowed.threshold,
        remedy="The gradient misleads further away from the samples: use another one (bpda, smoothed), more restarts, "
        "or starts at the sample.",
    )
