"""An ONNX graph as plain Python: constants as tensors, nodes in an order that can be run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from torch import Tensor

from .node import Node, UntranslatableError
from .types import numpy_dtype, torch_dtype, type_name

STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order; constants by name; the one input that is no initialiser."""

    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    input: str
    opset: int


def standard_domain(domain: str) -> str:
    """The empty name for both spellings of the standard domain."""
    return "" if domain in STANDARD else domain


def opsets(model: ModelProto) -> dict[str, int]:
    """Version by domain."""
    return {standard_domain(entry.domain): int(entry.version) for entry in model.opset_import}


def tensor_of(proto: TensorProto, folder: Path | None, precision: torch.dtype) -> Tensor:
    """A constant as a tensor of the type that the twin computes in.

    Raises: UntranslatableError.
    """
    dtype = torch_dtype(proto.data_type, precision)
    if dtype is None:
        raise UntranslatableError(f"the constant {proto.name!r} has the type {type_name(proto.data_type)}")
    if proto.data_location == TensorProto.EXTERNAL:
        entries = {entry.key: entry.value for entry in proto.external_data}
        with open((folder or Path()) / entries["location"], "rb") as file:
            file.seek(int(entries.get("offset", 0)))
            raw = file.read(int(entries["length"]) if "length" in entries else -1)
        array = _from_bytes(raw, proto)
    else:
        array = numpy_helper.to_array(proto)
    if proto.data_type == TensorProto.BFLOAT16:
        array = array.astype("float32")
    return torch.from_numpy(array.copy()).to(dtype)


def _from_bytes(raw: bytes, proto: TensorProto) -> Any:
    import numpy as np

    return np.frombuffer(raw, dtype=numpy_dtype(proto.data_type)).reshape(tuple(proto.dims))


def _attributes(proto: NodeProto, folder: Path | None, precision: torch.dtype) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            value = tensor_of(value, folder, precision)
        elif attribute.type == AttributeProto.STRING:
            value = value.decode("utf-8", "replace")
        values[attribute.name] = value
    return values


def _constant(node: Node) -> Tensor:
    """The value of a Constant node.

    Raises: UntranslatableError.
    """
    for key, value in node.attributes.items():
        if key == "value" and isinstance(value, Tensor):
            return value
        if key in ("value_int", "value_ints"):
            return torch.tensor(value, dtype=torch.int64)
        if key in ("value_float", "value_floats"):
            return torch.tensor(value, dtype=node.precision)
    raise UntranslatableError(f"the Constant {node.name!r} holds {', '.join(node.attributes) or 'nothing'}")


def sorted_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Producers before consumers; some converters write them unsorted.

    Raises: UntranslatableError.
    """
    maker = {name: place for place, node in enumerate(nodes) for name in node.outputs if name}
    order = TopologicalSorter(
        {place: [maker[name] for name in node.inputs if name in maker] for place, node in enumerate(nodes)}
    )
    try:
        return [nodes[place] for place in order.static_order()]
    except CycleError:
        raise UntranslatableError("the graph has a cycle") from None


def live_nodes(nodes: Sequence[Node], wanted: Iterable[str]) -> list[Node]:
    """Only what the wanted tensors need; outputs that nobody reads lose their name."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if needed.isdisjoint(node.outputs):
            continue
        names = [name if name in needed else "" for name in node.outputs]
        while not names[-1]:
            names.pop()
        kept.append(replace(node, outputs=tuple(names)))
        needed.update(name for name in node.inputs if name)
    return kept[::-1]


def read_graph(model: ModelProto, folder: Path | None, input_name: str, precision: torch.dtype) -> Graph:
    """Decode the main graph; the proto is only read.

    Raises: UntranslatableError.
    """
    graph: GraphProto = model.graph
    versions = opsets(model)
    if graph.sparse_initializer:
        raise UntranslatableError("the graph holds sparse initialisers")
    constants = {proto.name: tensor_of(proto, folder, precision) for proto in graph.initializer}
    nodes = []
    for proto in graph.node:
        domain = standard_domain(proto.domain)
        node = Node(
            domain=domain,
            op=proto.op_type,
            name=proto.name,
            opset=versions.get(domain, 1),
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=_attributes(proto, folder, precision),
            precision=precision,
        )
        if domain == "" and node.op == "Constant":
            constants[node.outputs[0]] = _constant(node)
        else:
            nodes.append(node)
    return Graph(tuple(sorted_nodes(nodes)), constants, input_name, versions.get("", 1))
