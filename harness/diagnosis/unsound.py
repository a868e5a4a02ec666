"""Was something broken that is proven to be unbreakable?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import CertifiedRecord, Measure
from .limits import limit
from .records import Records

NAME = "certificate"


@dataclass(frozen=True)
class Certified:
    """What interval bounds prove of samples, and what attacks say to it."""

    samples: int
    proven: int
    """Right, and provably so in the whole ball."""
    contradicted: int
    """Proven samples that are wrong when clean, or broken."""
    outside: int
    """Samples whose worst case is answered with scores that are not between their bounds."""

    @property
    def measures(self) -> list[Measure]:
        """The lower bound of the robust accuracy, and what contradicts it."""
        return [
            Measure(label="provably robust", value=self.proven / max(1, self.samples)),
            Measure(label="proven and broken all the same", value=self.contradicted, kind="number"),
            Measure(label="answered outside of their bounds", value=self.outside, kind="number"),
        ]

    @property
    def record(self) -> CertifiedRecord:
        """For the result."""
        wrong = max(self.contradicted, self.outside)
        return CertifiedRecord(accuracy=self.proven / max(1, self.samples), samples=self.samples, contradicted=wrong)


def unsound(records: Records) -> Finding | None:
    """No attack can break what is proven, so one that does has left its ball, or the proof or the replay is wrong.

    Source: reference sheet C2.17.
    """
    found = records.outcome(Certified, NAME)
    if found is None:
        return None
    wrong, allowed = max(found.contradicted, found.outside), limit("UNSOUND")
    severity = allowed.judge(wrong)
    if severity is None:
        return None
    return Finding(
        code="UNSOUND",
        severity=severity,
        message=f"{wrong} of {found.samples} samples were broken or answered in a way that interval bounds rule out.",
        measured=wrong,
        threshold=allowed.threshold,
        remedy="Report this: ball, replay or proof is wrong, so no number of this run can be believed.",
    )
