"""If and Loop: operators that run graphs of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from ..pair import Pair, Value, exact, on_both

MOST_TRIPS = 20_000
"""Trips of all loops together in one forward pass."""


@dataclass
class Running:
    """One forward pass over a graph and the bodies in it."""

    bpda: bool
    """Whether the surrogates give the gradient."""
    trips: int = MOST_TRIPS
    """How many trips are left to all loops together."""

    def __call__(self, body: Any, inputs: Sequence[Value]) -> list[Value]:
        """A body on its inputs, followed by what it captures."""
        outputs: list[Value] = body.run(inputs, bpda=self.bpda, running=self)
        return outputs

    def trip(self, node: Node) -> None:
        """Count one trip.

        Raises: UntranslatableError.
        """
        self.trips -= 1
        if self.trips < 0:
            raise UntranslatableError(f"{node.key} runs for more than {MOST_TRIPS} trips")


@dataclass(frozen=True)
class Control:
    """An operator with bodies: `(node, running, *inputs) -> outputs`; the last `node.captured` inputs are theirs."""

    forward: Callable[..., Sequence[Value]]


def split(node: Node, inputs: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """The operator's own inputs, and those that its bodies read from around it."""
    own = len(inputs) - node.captured
    return list(inputs[:own]), list(inputs[own:])


def _single(node: Node, value: Value) -> Tensor:
    """A condition or a count; of a pair, the exact side.

    Raises: UntranslatableError.
    """
    true = exact(value)
    if true is None or true.numel() != 1:
        raise UntranslatableError(f"{node.key} depends on {'nothing' if true is None else tuple(true.shape)}")
    return true.reshape(())


def if_(node: Node, running: Running, *inputs: Value) -> Sequence[Value]:
    """One branch or the other; the same for the whole batch, so a condition on the data needs batches of one."""
    own, outer = split(node, inputs)
    taken = bool(_single(node, own[0]))
    return running(node.attributes["then_branch" if taken else "else_branch"], outer)


def _scalar(value: int | bool, rank: int | None) -> Tensor:
    return torch.tensor([value] if rank == 1 else value)


def loop(node: Node, running: Running, *inputs: Value) -> Sequence[Value]:
    """Up to M trips while the condition holds: carried values, then what each trip leaves, stacked.

    Raises: UntranslatableError.
    """
    (limit, condition, *carried), outer = split(node, inputs)
    trips = None if limit is None else int(_single(node, limit))
    going = condition is None or bool(_single(node, condition))
    counter, flag = (*node.attributes.get("ranks", ()), None, None)[:2]
    left: list[list[Value]] = []
    trip, count = 0, len(carried)
    while going and (trips is None or trip < trips):
        running.trip(node)
        given = [_scalar(trip, counter), _scalar(True, flag), *carried, *outer]
        again, *rest = running(node.attributes["body"], given)
        carried, trip = rest[:count], trip + 1
        left.append(rest[count:])
        going = bool(_single(node, again))
    wanted = max(len(node.outputs) - count, 0)
    return [*carried, *(stacked(node, [row[place] for row in left]) for place in range(wanted))]


def stacked(node: Node, values: Sequence[Value], axis: int = 0) -> Tensor | Pair:
    """What every trip left, along a new axis.

    Raises: UntranslatableError.
    """
    if not values:
        raise UntranslatableError(f"{node.key} without a trip leaves outputs of unknown shape")
    return on_both(lambda each: torch.stack(each, dim=axis), values)


IF = Control(if_)
LOOP = Control(loop)
