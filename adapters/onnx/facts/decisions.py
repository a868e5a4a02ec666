"""Whether a graph lets the values of its input decide how it runs: then one sample of a batch decides for all."""

from collections.abc import Iterable, Sequence

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from ..file.walk import nested_nodes
from .obstacles import SHAPE_ONLY, upstream

_SHARED = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
"""Operators that round all samples of a batch to one scale, that of the largest."""


def _bodies(node: NodeProto) -> list[GraphProto]:
    return [entry.g for entry in node.attribute if entry.type == AttributeProto.GRAPH]


def _reads(node: NodeProto) -> Iterable[str]:
    """Names that a node and everything in its bodies read."""
    yield from node.input
    for body in _bodies(node):
        yield from (value.name for value in body.output)
        for inner in body.node:
            yield from _reads(inner)


def _spread(nodes: Sequence[NodeProto], seen: set[str]) -> set[str]:
    """Names that depend on the values of those seen."""
    seen = seen - {""}
    reads = [(node, set(_reads(node))) for node in nodes if node.op_type not in SHAPE_ONLY]
    grown = True
    while grown:
        before = len(seen)
        for node, names in reads:
            if not names.isdisjoint(seen):
                seen.update(name for name in node.output if name)
        grown = len(seen) > before
    return seen


def _inside(node: NodeProto, body: GraphProto, seen: set[str]) -> set[str]:
    """What a body sees of the input: names from around it, and its own inputs if anything it is given does."""
    own = [value.name for value in body.input]
    given = node.input[2:] if node.op_type == "Loop" else node.input
    fixed = own[:2] if node.op_type == "Loop" else []
    carried = set(own[len(fixed) :])
    inner = _spread(body.node, seen - set(own))
    made = any(value.name in inner for value in body.output)
    return _spread(body.node, inner | carried) if made or not seen.isdisjoint(given) else inner


def _decides(nodes: Sequence[NodeProto], seen: set[str]) -> bool:
    seen = _spread(nodes, seen)
    for node in nodes:
        asked = {"If": node.input[:1], "Loop": node.input[:2]}.get(node.op_type, [])
        if any(name in seen for name in asked):
            return True
        for body in _bodies(node):
            inside = _inside(node, body, seen)
            if node.op_type == "Loop" and body.output and body.output[0].name in inside:
                return True
            if _decides(body.node, inside):
                return True
    return False


def decides(model: ModelProto, input_name: str, wanted: str) -> bool:
    """Whether a branch taken or a number of trips on the way to the wanted tensor may depend on the input's values."""
    nodes = upstream(model, wanted)
    return any(_bodies(node) for node in nodes) and _decides(nodes, {input_name})


def shares_scale(model: ModelProto, wanted: str) -> bool:
    """Whether something on the way to the wanted tensor rounds a whole batch to one scale."""
    return any(node.op_type in _SHARED for node in nested_nodes(upstream(model, wanted)))
