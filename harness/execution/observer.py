"""What an evaluation tells the outside while it runs."""

from typing import Protocol

from ..results import AttackRecord, PlanEntry


class Observer(Protocol):
    """Told about progress; a terminal, a log or nothing may listen."""

    def planned(self, plan: list[PlanEntry]) -> None:
        """Before the first attack."""
        ...

    def clean(self, accuracy: float, classes: int, samples: int) -> None:
        """The clean pass is done; raising a RobcheckError here ends the run."""
        ...

    def started(self, what: str, samples: int, passes: int) -> None:
        """A phase or an attack begins on this many samples; it will take at most about this many passes."""
        ...

    def advanced(self, standing: int, robust_accuracy: float) -> None:
        """Some samples were judged: how many stand now, and the worst case so far."""
        ...

    def passed(self, passes: int) -> None:
        """This many passes were made just now."""
        ...

    def finished(self, record: AttackRecord) -> None:
        """An attack is done, replayed and counted."""
        ...


class Silent:
    """Listens to nothing."""

    def planned(self, plan: list[PlanEntry]) -> None:
        """Say nothing."""

    def clean(self, accuracy: float, classes: int, samples: int) -> None:
        """Say nothing."""

    def started(self, what: str, samples: int, passes: int) -> None:
        """Say nothing."""

    def advanced(self, standing: int, robust_accuracy: float) -> None:
        """Say nothing."""

    def passed(self, passes: int) -> None:
        """Say nothing."""

    def finished(self, record: AttackRecord) -> None:
        """Say nothing."""
