"""Does the attack win when nothing is random any more?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .comparison import Comparison
from .limits import limit
from .records import Records

NAME = "frozen"


@dataclass(frozen=True)
class Frozenness:
    """The plan's attack on the target with its randomness frozen to one draw, as it is, and without its defenses."""

    samples: int
    frozen: int
    """Samples that fell with the randomness frozen."""
    random: int
    """Samples that fell as the target is, on at least half of the draws."""
    bare: int | None
    """Samples that fell without the defenses; None where the bare model takes no samples as they are."""
    only_random: int
    only_frozen: int

    @property
    def comparison(self) -> Comparison:
        """To fool every draw cannot be easier than to fool one that is known."""
        return Comparison(self.samples, against=self.only_random, expected=self.only_frozen)

    @property
    def share(self) -> float:
        """What fell with the randomness frozen, as a share of what fell without the defenses."""
        return 1.0 if not self.bare else min(1.0, self.frozen / self.bare)

    @property
    def measures(self) -> list[Measure]:
        """The share that fell in each case."""
        base = max(1, self.samples)
        rows = [
            Measure(label="broken with the randomness frozen", value=self.frozen / base),
            Measure(label="broken as it is", value=self.random / base),
        ]
        return rows + ([] if self.bare is None else [Measure(label="broken without defenses", value=self.bare / base)])


def eot_broken(records: Records) -> Finding | None:
    """Severe where the frozen target withstands clearly more than the random one: then the attack lives on luck.

    That it withstands more than the bare model is a warning: a stage may take strength from the attack honestly, and
    the gradient around it may be a poor one.
    Source: Carlini et al. 2019, section 5.10; reference sheet C2.9.
    """
    found = records.outcome(Frozenness, NAME)
    if found is None:
        return None
    allowed, lucky = limit("EOT_BROKEN"), NAME in records.significant
    short = allowed.judge_low(found.share)
    if not lucky and short is None:
        return None
    message = (
        f"With its randomness frozen {found.frozen} of {found.samples} samples fall, as it is {found.random}."
        if lucky
        else f"With its randomness frozen {found.frozen} samples fall, without its defenses {found.bare}."
    )
    return Finding(
        code="EOT_BROKEN",
        severity=allowed.severity if lucky else short or allowed.severity,
        message=message,
        measured=found.share,
        threshold=allowed.warning,
        remedy="Randomness is not what resists: look at the gradient around the stages (bpda, unrolled, smoothed).",
    )
