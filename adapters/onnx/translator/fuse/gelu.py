"""x (1 + erf(x / sqrt 2)) / 2, as exporters before opset 20 write it."""

import math
from dataclasses import replace

from torch import Tensor
from torch.nn import functional

from ..node import Node
from .view import View

_CLOSE = 1e-5


def gelu(_node: Node, x: Tensor) -> Tensor:
    """x Phi(x)."""
    return functional.gelu(x)


def _is(value: float | None, wanted: float) -> bool:
    return value is not None and abs(value - wanted) <= _CLOSE * wanted


def _other(node: Node, name: str) -> str:
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def _scaled_input(view: View, name: str) -> tuple[int, str] | None:
    """Where x / sqrt 2 is computed, and x."""
    place = view.source(name, "Div", "Mul")
    if place is None:
        return None
    node = view.node(place)
    if node.op == "Div":
        return (place, node.inputs[0]) if _is(view.scalar(node.inputs[1]), math.sqrt(2)) else None
    for x, factor in (node.inputs, node.inputs[::-1]):
        if _is(view.scalar(factor), math.sqrt(0.5)):
            return place, x
    return None


def _product(view: View, name: str, x: str) -> list[int] | None:
    """Places of the two multiplications by x and by one half that follow, in any order and grouping."""
    first = view.reader(name, "Mul")
    if first is None:
        return None
    factor = _other(view.node(first), name)
    half = view.source(factor, "Mul")
    if half is not None and x in view.node(half).inputs and _is(view.scalar(_other(view.node(half), x)), 0.5):
        return [half, first]
    second = view.reader(view.node(first).outputs[0], "Mul")
    if second is None:
        return None
    factors = [factor, _other(view.node(second), view.node(first).outputs[0])]
    left = [name for name in factors if name != x]
    return [first, second] if len(left) == 1 and _is(view.scalar(left[0]), 0.5) else None


def fuse_gelu(view: View) -> None:
    """One Gelu for every Erf that is part of one."""
    for place in view.places("Erf"):
        scaled = _scaled_input(view, view.node(place).inputs[0])
        plus = view.reader(view.node(place).outputs[0], "Add")
        if scaled is None or plus is None:
            continue
        if not _is(view.scalar(_other(view.node(plus), view.node(place).outputs[0])), 1.0):
            continue
        tail = _product(view, view.node(plus).outputs[0], scaled[1])
        if tail is not None:
            last = view.node(max(tail))
            merged = replace(view.node(place), inputs=(scaled[1],), outputs=last.outputs)
            view.merge([scaled[0], place, plus, *tail], replace(merged, domain="robcheck", op="Gelu"), gelu)
