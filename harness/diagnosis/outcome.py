"""What a control experiment brings back: a frozen dataclass of plain numbers, one class per experiment."""

from typing import Protocol, runtime_checkable

from ..trust import Measure
from .comparison import Comparison


class Outcome(Protocol):
    """Plain numbers, and the rows of the table in which a report shows them."""

    @property
    def samples(self) -> int:
        """How many were looked at."""
        ...

    @property
    def measures(self) -> list[Measure]:
        """What a person would like to see of it."""
        ...


@runtime_checkable
class Compared(Protocol):
    """An outcome that sets two attacks against each other on the same samples."""

    @property
    def comparison(self) -> Comparison:
        """Who broke what the other did not."""
        ...
