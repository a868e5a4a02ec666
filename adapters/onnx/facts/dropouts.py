"""Dropouts in training mode that onnxruntime's optimiser takes out of the graph all the same."""

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from ..file.walk import all_nodes


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for entry in node.attribute:
            if entry.type == AttributeProto.GRAPH:
                yield from _graphs(entry.g)


def _removed(node: NodeProto, graph: GraphProto, read: set[str], constants: set[str]) -> bool:
    """Whether it is passed over: fed by another node and by constants, its mask unread, its output not the graph's."""
    if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
        return False
    made = {name for other in graph.node if other.op_type != "Constant" for name in other.output}
    fed = node.input[0] in made and all(not name or name in constants for name in node.input[1:])
    ends = {value.name for value in graph.output}
    return fed and node.output[0] not in ends and not any(name in read for name in node.output[1:] if name)


def without_removed_dropouts(model: ModelProto) -> ModelProto:
    """The model with those as Identity; the same proto, untouched, when it has none."""
    if not any(node.op_type == "Dropout" and len(node.input) > 2 for node in all_nodes(model)):
        return model
    found = ModelProto()
    found.CopyFrom(model)
    graphs = list(_graphs(found.graph))
    read = {name for node in all_nodes(found) for name in node.input}
    read |= {value.name for graph in graphs for value in graph.output}
    constants = {tensor.name for graph in graphs for tensor in graph.initializer}
    constants |= {node.output[0] for node in all_nodes(found) if node.op_type == "Constant"}
    for graph in graphs:
        for node in [one for one in graph.node if _removed(one, graph, read, constants)]:
            node.op_type = "Identity"
            del node.input[1:], node.output[1:], node.attribute[:]
    return found
