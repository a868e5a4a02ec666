"""Does an attack that knows nothing of the target break what the plan, made for it, does not?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .comparison import Comparison
from .limits import limit
from .more import by_gap, worst
from .records import Records

NAME = "generic"


@dataclass(frozen=True)
class Generic:
    """Plain PGD against the plan's own first attack begun afresh, on samples that the plan left standing."""

    attack: str
    """What the generic one was, and on what gradient."""
    samples: int
    standing: int
    of: int
    fell: int
    """Samples that the generic attack broke."""
    again: int
    """Samples that the plan's own attack broke when it began afresh."""
    only_generic: int
    only_again: int

    @property
    def comparison(self) -> Comparison:
        """The attack that was made for the target has to be ahead."""
        return Comparison(self.samples, against=self.only_generic, expected=self.only_again)

    @property
    def gap(self) -> float:
        """By how much the generic attack is ahead, as a share of all samples."""
        return max(0.0, self.comparison.lead) * self.standing / max(1, self.of)

    @property
    def measures(self) -> list[Measure]:
        """The share of standing samples that each broke."""
        base = max(1, self.samples)
        return [
            Measure(label=f"fell to {self.attack}", value=self.fell / base),
            Measure(label="fell to the plan's own attack, begun afresh", value=self.again / base),
        ]


def adaptive_weaker(records: Records) -> Finding | None:
    """Such samples count as broken; that there are many says that the plan does not fit the target.

    Source: Carlini et al. 2019, sections 3.2 and 5.4; Tramer et al. 2020; reference sheet C2.8.
    """
    found = records.outcome(Generic, NAME)
    if found is None:
        return None
    allowed, ahead = limit("ADAPTIVE_WEAKER"), found.only_generic - found.only_again
    severity = worst([by_gap(allowed, found.gap, ahead), allowed.severity if NAME in records.significant else None])
    if severity is None:
        return None
    return Finding(
        code="ADAPTIVE_WEAKER",
        severity=severity,
        message=f"{found.attack} breaks {found.fell} of {found.samples} samples that the plan left standing; the "
        f"plan's own attack breaks {found.again} of them when it begins afresh.",
        measured=found.gap,
        threshold=allowed.threshold,
        remedy="Use `gradient: auto`, more steps, or the built-in suite adaptive.",
    )
