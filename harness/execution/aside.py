"""An observer's view of work beside the main evaluation."""

from dataclasses import dataclass

from ..results import AttackRecord, PlanEntry
from .observer import Observer


@dataclass(frozen=True)
class Aside:
    """Hands on progress and attacks under another name; the clean pass and the plan are no news."""

    observer: Observer
    name: str
    number: bool = True
    """Whether the accuracy there is one that anybody asked for."""

    def planned(self, plan: list[PlanEntry]) -> None:
        """Say nothing."""

    def clean(self, accuracy: float, classes: int, samples: int) -> None:
        """Say nothing."""

    def started(self, what: str, samples: int, passes: int) -> None:
        """The phase, and beside what."""
        self.observer.started(what if self.name in what else f"{what} ({self.name})", samples, passes)

    def advanced(self, standing: int, robust_accuracy: float) -> None:
        """As it is there."""
        self.observer.advanced(standing, robust_accuracy)

    def passed(self, passes: int) -> None:
        """The same passes."""
        self.observer.passed(passes)

    def finished(self, record: AttackRecord) -> None:
        """The attack, under a name that says where it ran."""
        self.observer.finished(record if self.number else record.model_copy(update={"robust_accuracy": None}))
