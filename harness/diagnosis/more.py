"""What an attack more brings on samples that the plan left standing: how many fall, and how much further it climbs."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure, Severity
from .limits import CLIMBS, LEAST_SAMPLES, Limit, limit, milder_on_few


@dataclass(frozen=True)
class Variant:
    """One attack that the plan does not hold, on standing samples, beside the plan's own attack begun afresh."""

    label: str
    fell: int
    """Samples that it broke."""
    lead: int
    """How many more than the plan's own attack broke when it began afresh: that many luck does not explain."""
    climb: float
    """By how much it rises above the plan's best, as a share of what the plan itself rose from the clean sample."""


@dataclass(frozen=True)
class Variants:
    """The plan's own attack and others of equal cost on samples that stand, none beginning where another ended."""

    samples: int
    standing: int
    """All samples that stood, those looked at included."""
    of: int
    """All samples of the evaluation."""
    again: int
    """Samples that fell to the plan's own attack when it began afresh."""
    variants: tuple[Variant, ...]

    @property
    def best(self) -> Variant | None:
        """The one that breaks most, and of those the one that climbs highest."""
        return max(self.variants, key=lambda v: (v.lead, v.climb), default=None)

    @property
    def highest(self) -> Variant | None:
        """The one that climbs highest."""
        return max(self.variants, key=lambda v: v.climb, default=None)

    def gap(self, lead: int) -> float:
        """What that many of the samples looked at mean for the robust accuracy, as a share of all samples."""
        return lead / max(1, self.samples) * self.standing / max(1, self.of)

    @property
    def measures(self) -> list[Measure]:
        """What fell to each, and how far each climbed."""
        rows = [Measure(label="the plan's own attack, begun afresh: fell", value=self.again / max(1, self.samples))]
        for variant in self.variants:
            rows += [
                Measure(label=f"{variant.label}: fell", value=variant.fell / max(1, self.samples)),
                Measure(label=f"{variant.label}: climbs more by", value=variant.climb),
            ]
        return rows


def sensitive(found: Variants, code: str, *, what: str, remedy: str) -> Finding | None:
    """The finding that a choice of the plan matters: raised where another choice breaks what it left standing, or
    climbs so much higher that the plan's attack cannot have done its work.

    Args:
        code: of the finding.
        what: the choice, in a word or two.
        remedy: one sentence.
    """
    best, highest = found.best, found.highest
    if best is None or highest is None:
        return None
    gap, allowed, climb = found.gap(best.lead), limit(code), CLIMBS[code]
    gap_says = allowed.judge(gap) if best.lead >= LEAST_SAMPLES else None
    climb_says = milder_on_few(climb.judge(highest.climb), found.standing, found.of)
    severity = worst([gap_says, climb_says])
    if severity is None:
        return None
    by_climb = climb_says == severity and gap_says != severity
    seen = (
        f"{highest.label} climbs {highest.climb:.0%} higher than everything that the plan tried"
        if by_climb
        else f"{best.label} breaks {best.lead} of {found.samples} standing samples more than the plan's own attack "
        f"when it begins afresh, {gap:.1%} of all samples"
    )
    return Finding(
        code=code,
        severity=severity,
        message=f"The {what} matters: {seen}.",
        measured=highest.climb if by_climb else gap,
        threshold=climb.threshold if by_climb else allowed.threshold,
        remedy=remedy,
    )


def by_gap(allowed: Limit, gap: float, samples: int) -> Severity | None:
    """The word on a share of all samples; so few samples that they say nothing are a warning at most."""
    severity = allowed.judge(gap)
    return "warning" if severity == "severe" and samples < LEAST_SAMPLES else severity


def worst(severities: Sequence[Severity | None]) -> Severity | None:
    """The gravest of them; None where there is none."""
    order: tuple[Severity, ...] = ("severe", "warning", "info", "ok")
    return min((s for s in severities if s is not None), key=order.index, default=None)
