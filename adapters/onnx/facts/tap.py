"""Where gradients should start: the tensor in front of a final ArgMax, TopK, Softmax or Sigmoid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from .branches import single_constants

_THROUGH = {"Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten"}
_PICKS = {"Gather", "Slice"}
"""What takes the first of the best k."""
_COARSE = {"QuantizeLinear", "DequantizeLinear"}
_RANKS = {"ArgMax", "TopK"}
_SQUASHES = {"Softmax", "LogSoftmax", "Exp", "Sigmoid"}
_LARGEST_EPSILON = 1e-3
_CLEAR_OF = 1000.0
"""Probabilities this many times the constant added to them are told apart to a thousandth."""
_ONE_MINUS = 1e-4
"""Below this, float32 cannot tell 1 - p from the rounding of p."""

Ranked = Literal["values", "places", "pairs"]


@dataclass(frozen=True)
class Tap:
    """The tensor that gradients start from, and what the file does behind it."""

    place: str
    operator: str = ""
    """The outermost operator passed over; empty for the output itself."""
    floor: float = 0.0
    """Probabilities below this are all the same to the file."""
    complement: int | None = None
    """Of two columns, the one that is 1 - p; the tensor then holds one logit."""


class _Graph:
    """Who makes a tensor, and the constants of one element."""

    def __init__(self, model: ModelProto) -> None:
        self.maker = {name: node for node in model.graph.node for name in node.output if name}
        self._constants: Mapping[str, TensorProto] = single_constants(model)

    def number(self, name: str) -> float | None:
        """The value of a constant."""
        proto = self._constants.get(name)
        value = None if proto is None else numpy_helper.to_array(proto)
        return float(value.reshape(-1)[0]) if value is not None and np.issubdtype(value.dtype, np.number) else None


def _floor(graph: _Graph, node: NodeProto) -> float | None:
    """What an operator behind probabilities lets through, None for one that does more than keep logarithms finite."""
    if node.op_type == "Log":
        return 0.0
    if node.op_type == "Add":
        numbers = [number for number in map(graph.number, node.input) if number is not None]
        return _CLEAR_OF * numbers[0] if len(numbers) == 1 and 0 <= numbers[0] <= _LARGEST_EPSILON else None
    if node.op_type in ("Clip", "Max"):
        given = {entry.name: entry.f for entry in node.attribute}
        low = given.get("min") or next((n for n in map(graph.number, node.input[1:2]) if n is not None), 0.0)
        return low if 0 <= low <= _LARGEST_EPSILON else None
    return None


def _sigmoid_input(graph: _Graph, name: str) -> str | None:
    node = graph.maker.get(name)
    return node.input[0] if node is not None and node.op_type == "Sigmoid" else None


def _two_columns(graph: _Graph, node: NodeProto) -> Tap | None:
    """A Concat of 1 - p and p, where p is a Sigmoid."""
    if node.op_type != "Concat" or len(node.input) != 2:
        return None
    for place, (other, p) in enumerate((tuple(node.input), tuple(node.input)[::-1])):
        minus, logit = graph.maker.get(other), _sigmoid_input(graph, p)
        if logit is None or minus is None or minus.op_type != "Sub" or minus.input[1] != p:
            continue
        if graph.number(minus.input[0]) == 1:
            return Tap(logit, "Sigmoid", _ONE_MINUS, place)
    return None


def tap(model: ModelProto, output: str, labels: bool) -> Tap:
    """The place for an output.

    Passed over are operators that only change the shape, quantise what a Softmax makes or keep its logarithm finite; a
    Softmax in front of an ArgMax is tapped as well.
    """
    graph = _Graph(model)
    if output in graph.maker and graph.maker[output].op_type == "ZipMap":
        output = graph.maker[output].input[0]
    found, name, floor = Tap(output), output, 0.0
    while name in graph.maker:
        node = graph.maker[name]
        first = node.output[-1 if node.op_type == "TopK" else 0]
        if not node.input or first != name:
            break
        columns = None if found.operator and not labels else _two_columns(graph, node)
        if columns is not None:
            return replace(columns, operator=found.operator or columns.operator)
        ranks = labels and node.op_type in _RANKS
        squashes = node.op_type in _SQUASHES and (labels or _may_follow(found.operator, node.op_type))
        if ranks or squashes:
            found = Tap(node.input[0], found.operator or node.op_type, floor)
        else:
            kept = _kept(graph, node, found.operator, labels=labels)
            if kept is None:
                break
            floor = max(floor, kept)
        if not labels and found.operator == "Sigmoid":
            break
        name = node.input[0] if node.op_type != "Add" or graph.number(node.input[0]) is None else node.input[1]
    return found


def _kept(graph: _Graph, node: NodeProto, outer: str, *, labels: bool) -> float | None:
    """The smallest probability that an operator which may be passed over still tells apart, None for all others."""
    coarse = not outer and (node.op_type in _COARSE or (labels and node.op_type in _PICKS))
    if node.op_type in _THROUGH or coarse:
        return 0.0
    return None if outer or labels else _floor(graph, node)


def _may_follow(outer: str, inner: str) -> bool:
    """Whether two squashing operators in a row are one: the softmax of a softmax is not, that of a log-softmax is."""
    return not outer or (inner == "LogSoftmax" and outer != "Sigmoid")


def _of_pairs(node: NodeProto) -> bool:
    """Whether a support vector machine answers with one number for every two of its classes."""
    given = {entry.name: len(entry.ints) + len(entry.floats) for entry in node.attribute}
    return given.get("vectors_per_class", 0) > 2 and not given.get("prob_a", 0)


def ranked(model: ModelProto, output: str) -> Ranked | None:
    """What makes an output no row of scores: a TopK that sorts them or names the best, an SVM that compares pairs."""
    maker = {name: node for node in model.graph.node for name in node.output if name}
    name = output
    while name in maker:
        node = maker[name]
        if node.op_type == "TopK":
            return "values" if name == node.output[0] else "places"
        if node.op_type == "SVMClassifier" and _of_pairs(node):
            return "pairs"
        if node.op_type not in _THROUGH | _PICKS or not node.input:
            return None
        name = node.input[0]
    return None
