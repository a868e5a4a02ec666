"""Do more steps, or more starts, still break what the plan left standing?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure, Severity
from .limits import CLIMBS, SETTLED_CLIMB, SETTLED_SHARE, limit, milder_on_few
from .more import by_gap, worst
from .records import Records

NAME = "steps"
CAP = 8
"""How often the plan's steps are tried at most. Source: reference sheet C2.4."""


@dataclass(frozen=True)
class Doubling:
    """One run with twice the steps of the run before it, on what still stood."""

    steps: int
    fell: int
    climb: float
    """How much higher it rises than everything before it, as a share of what was climbed until then."""


@dataclass(frozen=True)
class Doublings:
    """The plan's longest attack, begun afresh, then with twice the steps until that changes nothing, or to the cap."""

    attack: str
    steps: int
    samples: int
    standing: int
    """All samples that stood, those looked at included."""
    of: int
    again: int
    """Samples that fell to as many steps when they began afresh: one more start."""
    runs: tuple[Doubling, ...]
    climb: float
    """What all doublings together climbed above the plan's best, as a share of what the plan climbed."""
    everyone: bool
    """Whether the longest run was repeated on every sample that stood, because something fell on the way."""

    def share(self, fell: int) -> float:
        """What that many of the samples looked at mean for the robust accuracy, as a share of all samples."""
        return fell / max(1, self.samples) * self.standing / max(1, self.of)

    @property
    def settled(self) -> bool:
        """Whether the last doubling changed next to nothing."""
        return quiet(self.share(self.ahead), self.last.climb)

    @property
    def ahead(self) -> int:
        """By how many samples the longest run beats a fresh start of the plan's own length: those luck explains."""
        return self.last.fell - self.again

    @property
    def last(self) -> Doubling:
        """The longest run; the plan's own length begun afresh where nothing stood after that."""
        return self.runs[-1] if self.runs else Doubling(self.steps, self.again, 0.0)

    @property
    def measures(self) -> list[Measure]:
        """What fell to each run, and how far it climbed."""
        base = max(1, self.samples)
        rows = [Measure(label=f"{self.attack}, {self.steps} steps, begun afresh: fell", value=self.again / base)]
        for run in self.runs:
            rows += [
                Measure(label=f"{run.steps} steps: fell", value=run.fell / base),
                Measure(label=f"{run.steps} steps: climbs more by", value=run.climb),
            ]
        return [*rows, Measure(label="all doublings together: climb more by", value=self.climb)]


def quiet(share: float, climb: float) -> bool:
    """Whether a doubling that broke this share of all samples and climbed so much more changed next to nothing."""
    return share <= SETTLED_SHARE and climb <= SETTLED_CLIMB


def not_converged(records: Records) -> Finding | None:
    """What fresh starts and longer runs break counts, so a plan that is a little short is a warning. Severe are three.

    The last doubling still breaks samples, more than a fresh start as long as the plan's. Breaks in the sample stand
    for others that nobody attacked for so long. Or all doublings together climb so much higher that the plan was no
    attack, whatever falls on a few samples: a longer run of one attack does not make up for the rest of such a plan.
    """
    found = records.outcome(Doublings, NAME)
    if found is None:
        return None
    allowed, climb, last = limit("NOT_CONVERGED"), CLIMBS["NOT_CONVERGED"], found.last
    gained = found.again + sum(run.fell for run in found.runs)
    severities: list[Severity | None] = [milder_on_few(climb.judge(found.climb), found.standing, found.of)]
    if not found.settled:
        severities.append(by_gap(allowed, found.share(found.ahead), found.ahead))
    if gained:
        severities.append("warning" if found.everyone else by_gap(allowed, found.share(gained), gained))
    severity = worst(severities)
    if severity is None:
        return None
    enough = f"{last.steps} are enough" if found.settled else f"and even {last.steps} are not enough"
    return Finding(
        code="NOT_CONVERGED",
        severity=severity,
        message=f"Begun afresh and with more than its {found.steps} steps, {found.attack} breaks {gained} of "
        f"{found.samples} standing samples and climbs {found.climb:.1%} higher; {enough}: the last doubling broke "
        f"{last.fell} and climbed {last.climb:.1%}.",
        measured=found.climb,
        threshold=climb.threshold,
        remedy=f"Give the attacks of the suite {last.steps if found.settled else 2 * last.steps} steps or more.",
    )
