"""An operator that stops, fakes or randomises a gradient, and what stands in for it on the backward pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from ....effects import BITS as BITS
from ....effects import DRAWS as DRAWS
from ....effects import QUANTISES as QUANTISES
from ....effects import ROUNDS as ROUNDS
from ....effects import SORTS as SORTS
from ....effects import THRESHOLDS as THRESHOLDS
from ..node import Node
from .values import Operator

Row = TypeVar("Row")


@dataclass(frozen=True)
class Obstacle:
    """Exact forward and differentiable stand-in of one operator, both `(node, *inputs) -> output or outputs`.

    The interpreter runs `exact` on the true types without a gradient, `surrogate` on floats that hold the same whole
    numbers (integers and booleans that depend on the input arrive as float32), and joins the two straight-through: the
    value of one, the gradient of the other. What the surrogate answers matters for its derivative alone.
    """

    exact: Operator
    effect: str
    """What it does to a gradient, for people; empty if it only passes on what a comparison let through."""
    surrogate: Operator | None
    """None: no stand-in is known, the gradient ends here."""

    def __call__(self, node: Node, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The exact forward."""
        return self.exact(node, *inputs)


@dataclass(frozen=True)
class Drawing:
    """An operator that draws random numbers in some of its uses, and lets a gradient through in all of them."""

    exact: Operator
    still: Operator
    """What it is in the other uses."""
    active: Callable[[Node, Mapping[str, Tensor]], bool]
    """(node, constants by name) -> whether this use may draw."""

    def __call__(self, node: Node, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The forward that draws where it is asked to."""
        return self.exact(node, *inputs)


def settled(row: Row, node: Node, constants: Mapping[str, Tensor]) -> Row | Operator:
    """The row, or what it is in this use of it when that draws nothing."""
    return row.still if isinstance(row, Drawing) and not row.active(node, constants) else row


def draws(row: object) -> bool:
    """Whether an operator's answer is random."""
    return isinstance(row, Drawing) or (isinstance(row, Obstacle) and row.effect == DRAWS)
