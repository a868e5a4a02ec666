"""Everything inside a model proto: subgraphs, functions, constants."""

from collections.abc import Iterator
from pathlib import Path

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from ....harness.errors import ModelError

_DEEPEST = 16


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH or attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def nested_nodes(nodes: list[NodeProto]) -> Iterator[NodeProto]:
    """These nodes and all in their subgraphs."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        yield node
        for graph in _subgraphs(node):
            pending.extend(graph.node)


def all_nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Every node of the graph, its subgraphs and the model's functions."""
    yield from nested_nodes(list(model.graph.node))
    for function in model.functions:
        yield from nested_nodes(list(function.node))


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices


def _attribute_tensors(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield attribute.sparse_tensor.values
            yield attribute.sparse_tensor.indices
        for sparse in attribute.sparse_tensors:
            yield sparse.values
            yield sparse.indices


def all_tensors(path: Path, model: ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor, dense or sparse, wherever it lies.

    Raises: ModelError when subgraphs are nested absurdly deep.
    """
    pending: list[tuple[NodeProto, int]] = [(node, 0) for node in model.graph.node]
    pending += [(node, 0) for function in model.functions for node in function.node]
    yield from _graph_tensors(model.graph)
    while pending:
        node, depth = pending.pop()
        if depth > _DEEPEST:
            raise ModelError(f"{path} nests more than {_DEEPEST} subgraphs; export a plain classifier")
        yield from _attribute_tensors(node)
        for graph in _subgraphs(node):
            yield from _graph_tensors(graph)
            pending.extend((inner, depth + 1) for inner in graph.node)
