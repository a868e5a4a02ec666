"""Scan: a body over the slices of sequences."""

from collections.abc import Sequence
from functools import partial

import torch

from ..node import Node, UntranslatableError
from ..pair import Value, exact, on_both
from .control import Control, Running, split, stacked


def _slice(value: Value, axis: int, place: int) -> Value:
    return on_both(lambda each: each[0].select(axis, place), [value])


def _length(node: Node, sequences: Sequence[Value], axes: Sequence[int]) -> int:
    """Slices of the sequences, the same for all.

    Raises: UntranslatableError.
    """
    known = [(exact(value), axis) for value, axis in zip(sequences, axes, strict=True)]
    sizes = {value.shape[axis] for value, axis in known if value is not None}
    if len(sizes) != 1:
        raise UntranslatableError(f"{node.key} over sequences of lengths {sorted(sizes)}")
    return sizes.pop()


def _over(
    node: Node, running: Running, states: list[Value], sequences: list[Value], axes: list[int], outer: list[Value]
) -> tuple[list[Value], list[list[Value]]]:
    """Final states, and per trip what it leaves."""
    count, length = len(states), _length(node, sequences, axes)
    backwards = node.integers("scan_input_directions") or node.integers("directions") or [0] * len(sequences)
    left = []
    for trip in range(length):
        running.trip(node)
        places = [length - 1 - trip if back else trip for back in backwards]
        slices = [_slice(*one) for one in zip(sequences, axes, places, strict=True)]
        made = running(node.attributes["body"], [*states, *slices, *outer])
        states = made[:count]
        left.append(made[count:])
    return states, left


def _collected(node: Node, left: list[list[Value]], count: int) -> list[Value]:
    wanted = max(len(node.outputs) - count, 0)
    backwards = node.integers("scan_output_directions") or [0] * wanted
    axes = node.integers("scan_output_axes") or [0] * wanted
    columns = [[row[place] for row in left] for place in range(wanted)]
    return [
        stacked(node, column[::-1] if back else column, axis)
        for column, back, axis in zip(columns, backwards, axes, strict=False)
    ]


def scan(node: Node, running: Running, *inputs: Value) -> Sequence[Value]:
    """States first, then sequences sliced along their axes; outputs are final states and stacked slices."""
    own, outer = split(node, inputs)
    count = len(own) - node.integer("num_scan_inputs", 0)
    axes = node.integers("scan_input_axes") or [0] * (len(own) - count)
    states, left = _over(node, running, own[:count], own[count:], axes, outer)
    return [*states, *_collected(node, left, count)]


def scan_8(node: Node, running: Running, *inputs: Value) -> Sequence[Value]:
    """The first Scan: everything has a batch dimension in front, and the body sees one sample at a time.

    Raises: UntranslatableError.
    """
    (lengths, *own), outer = split(node, inputs)
    if lengths is not None:
        raise UntranslatableError(f"{node.key} with sequence lengths")
    count = len(own) - node.integer("num_scan_inputs", 0)
    samples = []
    for index in range(_length(node, own, [0] * len(own))):
        one = [_slice(value, 0, index) for value in own]
        states, left = _over(node, running, one[:count], one[count:], [0] * (len(own) - count), outer)
        samples.append([*states, *_collected(node, left, count)])
    stack = partial(torch.stack, dim=0)
    return [on_both(stack, [sample[place] for sample in samples]) for place in range(len(node.outputs))]


SCAN = Control(scan)
SCAN_8 = Control(scan_8)
