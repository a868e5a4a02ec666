"""Integers of less than 8 bits: which inputs of which nodes have them, since torch tensors do not say."""

from collections.abc import Sequence
from dataclasses import replace

from onnx import AttributeProto, GraphProto

from .node import Node, UntranslatableError
from .types import NARROW, type_name

_SAME_TYPE = {"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators whose output has the type of their first input."""
_END = {"Cast", "DequantizeLinear", "Shape", "Size"}
"""Operators that read a narrow type and make another one."""


def _declared(graph: GraphProto) -> dict[str, int]:
    """Narrow type by name for inputs, initialisers and Constant nodes.

    Raises: UntranslatableError.
    """
    found = {proto.name: int(proto.data_type) for proto in graph.initializer}
    found |= {value.name: int(value.type.tensor_type.elem_type) for value in graph.input}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type != AttributeProto.TENSOR or attribute.t.data_type not in NARROW:
                continue
            if node.op_type != "Constant":
                raise UntranslatableError(f"{node.op_type} with a value of type {type_name(attribute.t.data_type)}")
            found[node.output[0]] = int(attribute.t.data_type)
    return {name: code for name, code in found.items() if code in NARROW}


def _made(node: Node, narrow: dict[int, int]) -> int:
    """The narrow type that a node makes, 0 for none.

    Raises: UntranslatableError.
    """
    if node.op == "QuantizeLinear":
        code = narrow.get(2, node.integer("output_dtype", 0))
        return code if code in NARROW else 0
    if not narrow or node.op in _END:
        return 0
    if node.op in _SAME_TYPE and list(narrow) == [0]:
        return narrow[0]
    raise UntranslatableError(f"{node.key} on integers of type {type_name(next(iter(narrow.values())))}")


def with_narrow(nodes: Sequence[Node], graph: GraphProto) -> tuple[Node, ...]:
    """The nodes of a graph, producers first, each knowing which of its inputs are narrow.

    Raises: UntranslatableError.
    """
    types = _declared(graph)
    hidden = {name for node in nodes for name in node.outputs if _has_body(node)}
    result = []
    for node in nodes:
        if node.op == "QuantizeLinear" and hidden.intersection(node.inputs[2:]):
            raise UntranslatableError("QuantizeLinear with a zero point that a subgraph makes")
        narrow = {place: types[name] for place, name in enumerate(node.inputs) if name in types}
        code = _made(node, narrow)
        if code:
            types |= {name: code for name in node.outputs if name}
        result.append(replace(node, narrow=narrow) if narrow else node)
    return tuple(result)


def _has_body(node: Node) -> bool:
    return node.op in ("If", "Loop", "Scan")
