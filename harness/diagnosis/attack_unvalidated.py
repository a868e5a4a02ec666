"""Do the attacks of the plan break what surely breaks?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .limits import limit
from .records import Records

NAME = "toys"
REACH, CURVED, SHORT = 1.05, 1.5, 0.98
"""Radii of the tiny problems, in units of the known distance: within the first one a linear model breaks on every
sample, within the second one a model of two layers does, within the last one none can. In the curved one the gradient
shows half of the way at a time, and fixed steps of 2.5 eps in all do not reach its corner exactly."""


@dataclass(frozen=True)
class Attempt:
    """One entry of the plan on the tiny problems."""

    name: str
    climbs: bool
    """On gradients, rather than by questions alone."""
    problems: int
    broke: int
    """Of those, what it broke where every sample breaks."""
    impossible: int = 0
    """What it broke where none can break; looked at for the first entry alone."""

    @property
    def share(self) -> float:
        """What it broke, of what breaks."""
        return self.broke / self.problems


@dataclass(frozen=True)
class Toys:
    """Every entry that was tried."""

    samples: int
    attempts: tuple[Attempt, ...]

    @property
    def measures(self) -> list[Measure]:
        """The share that each entry broke."""
        return [Measure(label=attempt.name, value=attempt.share) for attempt in self.attempts]


def attack_unvalidated(records: Records) -> list[Finding]:
    """An entry that misses what surely is there proves nothing where it fails.

    One sound gradient entry is enough, because a sample stands only if every entry failed on it: without one the
    finding is as severe as its first row says, else as that of the single entry. Source: Carlini et al. 2019, 4.
    """
    found = records.outcome(Toys, NAME)
    if found is None or not found.attempts:
        return []
    return [finding for finding in (_impossible(found), _missed(found)) if finding is not None]


def _impossible(found: Toys) -> Finding | None:
    allowed, count = limit("ATTACK_UNVALIDATED_BALL"), sum(attempt.impossible for attempt in found.attempts)
    severity = allowed.judge(count)
    if severity is None:
        return None
    return Finding(
        code="ATTACK_UNVALIDATED",
        severity=severity,
        message=f"{found.attempts[0].name} broke {count} samples of a tiny model within a radius in which nothing "
        "breaks.",
        measured=count,
        threshold=allowed.threshold,
        remedy="The attack leaves its ball, or the ball is not what it says: this is a bug, please report it.",
    )


def _missed(found: Toys) -> Finding | None:
    every, single = limit("ATTACK_UNVALIDATED"), limit("ATTACK_UNVALIDATED_SOME")
    failed = [attempt for attempt in found.attempts if single.judge_low(attempt.share) is not None]
    if not failed:
        return None
    climbing = [attempt for attempt in found.attempts if attempt.climbs] or found.attempts
    worst, best = min(a.share for a in failed), max(a.share for a in climbing)
    severity = every.judge_low(best)
    return Finding(
        code="ATTACK_UNVALIDATED",
        severity=severity or single.severity,
        message=f"{', '.join(a.name for a in failed)} missed adversarial examples of tiny models that surely are "
        f"there ({worst:.0%} found at worst)"
        + (", and no gradient attack of the plan found them." if severity else "; another attack of the plan did not."),
        measured=best if severity else worst,
        threshold=every.threshold,
        remedy="Give it more steps, or steps that cross the ball (2.5 eps over all of them).",
    )
