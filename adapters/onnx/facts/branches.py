"""Which nodes of a graph can run: not those in a branch of an If whose condition is a constant that says no."""

import math
from collections.abc import Iterator, Mapping, Sequence

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from ..file.walk import all_nodes


def single_constants(model: ModelProto) -> dict[str, TensorProto]:
    """Constants of one element in the file itself, by name: what switches branches and Dropouts on and off."""
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in all_nodes(model):
        for entry in node.attribute if node.op_type == "Constant" else ():
            known.update({node.output[0]: entry.t} if entry.name == "value" else {})
    return {name: proto for name, proto in known.items() if math.prod(proto.dims) == 1 and not proto.external_data}


def _truth(proto: TensorProto) -> bool | None:
    """A boolean constant as Python sees it, None for every other type."""
    if proto.data_type != TensorProto.BOOL:
        return None
    return bool(proto.int32_data[0]) if proto.int32_data else any(proto.raw_data)


def running_nodes(nodes: Sequence[NodeProto], known: Mapping[str, TensorProto]) -> Iterator[NodeProto]:
    """These nodes and all in their subgraphs that a known condition does not rule out."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        yield node
        condition = known.get(node.input[0]) if node.op_type == "If" and node.input else None
        holds = None if condition is None else _truth(condition)
        dead = {True: "else_branch", False: "then_branch", None: ""}[holds]
        for entry in node.attribute:
            if entry.type == AttributeProto.GRAPH and entry.name != dead:
                pending.extend(entry.g.node)
            for graph in entry.graphs:
                pending.extend(graph.node)
