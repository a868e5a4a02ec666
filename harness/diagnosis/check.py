"""What a check is: a pure function of records, and the control experiments that have to be run for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..results import Finding
from .records import Records


@dataclass(frozen=True)
class Check:
    """One question to the records of a finished run."""

    code: str
    """Of the finding that it raises."""
    judge: Callable[[Records], Finding | Sequence[Finding] | None]
    needs: tuple[str, ...] = ()
    """Names of the control experiments whose outcomes it reads; the evaluation schedules them."""
    also: tuple[str, ...] = ()
    """Further codes that it raises."""

    def findings(self, records: Records) -> list[Finding]:
        """What it has to say; nothing where its experiments did not run."""
        found = self.judge(records)
        if found is None:
            return []
        return [found] if isinstance(found, Finding) else list(found)
