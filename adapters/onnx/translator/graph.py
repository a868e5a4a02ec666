"""An ONNX graph as plain Python: constants as tensors, nodes in an order that can be run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, inliner, numpy_helper
from torch import Tensor

from .narrow import with_narrow
from .node import Node, UntranslatableError
from .types import NARROW, carrier, numpy_dtype, type_name

STANDARD = ("", "ai.onnx")
LEARNED = "ai.onnx.ml"
"""Keeps its weights, which may be many, in attributes: they become tensors when they are read."""


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order and constants by name; the main graph, or a body that reads names from around it."""

    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ranks: tuple[int | None, ...] = ()
    """Declared numbers of dimensions of the inputs, None where the file says nothing."""

    @property
    def made(self) -> set[str]:
        """Names that are given or made inside; the absent name is one of them."""
        return {*self.constants, *self.inputs, *(name for node in self.nodes for name in node.outputs), ""}

    @property
    def captured(self) -> tuple[str, ...]:
        """Names that are read and neither given nor made inside."""
        made = self.made
        read = [name for node in self.nodes for name in node.inputs] + list(self.outputs)
        return tuple(dict.fromkeys(name for name in read if name not in made))


def standard_domain(domain: str) -> str:
    """The empty name for both spellings of the standard domain."""
    return "" if domain in STANDARD else domain


def opsets(model: ModelProto) -> dict[str, int]:
    """Version by domain."""
    return {standard_domain(entry.domain): int(entry.version) for entry in model.opset_import}


def inlined(model: ModelProto) -> ModelProto:
    """The model without local functions; the same proto, untouched, when it has none."""
    return inliner.inline_local_functions(model) if model.functions else model


def tensor_of(proto: TensorProto, folder: Path | None, precision: torch.dtype) -> Tensor:
    """A constant as a tensor of the type that the twin computes in.

    Raises: UntranslatableError.
    """
    dtype = carrier(proto.data_type, precision)
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
    if proto.data_type in NARROW:
        array = array.astype("int8")
    return torch.from_numpy(array.copy()).to(dtype)


def _from_bytes(raw: bytes, proto: TensorProto) -> Any:
    import numpy as np

    if proto.data_type in NARROW:
        return numpy_helper.to_array(TensorProto(data_type=proto.data_type, dims=proto.dims, raw_data=raw))
    return np.frombuffer(raw, dtype=numpy_dtype(proto.data_type)).reshape(tuple(proto.dims))


def _attributes(
    proto: NodeProto, folder: Path | None, precision: torch.dtype, versions: dict[str, int]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            value = tensor_of(value, folder, precision)
        elif attribute.type == AttributeProto.STRING:
            value = value.decode("utf-8", "replace")
        elif attribute.type == AttributeProto.GRAPH:
            value = _read(value, folder, precision, versions)
        elif attribute.type == AttributeProto.FLOATS and proto.domain == LEARNED:
            value = torch.tensor(value, dtype=precision)
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


def _read(graph: GraphProto, folder: Path | None, precision: torch.dtype, versions: dict[str, int]) -> Graph:
    """Decode a graph and the bodies in it.

    Raises: UntranslatableError.
    """
    if graph.sparse_initializer:
        raise UntranslatableError("the graph holds sparse initialisers")
    numbers = [proto for proto in graph.initializer if proto.data_type != TensorProto.STRING]
    constants = {proto.name: tensor_of(proto, folder, precision) for proto in numbers}
    nodes = []
    for proto in graph.node:
        domain = standard_domain(proto.domain)
        attributes = _attributes(proto, folder, precision, versions)
        bodies = [value for value in attributes.values() if isinstance(value, Graph)]
        captured = tuple(dict.fromkeys(name for body in bodies for name in body.captured))
        node = Node(
            domain=domain,
            op=proto.op_type,
            name=proto.name,
            opset=versions.get(domain, 1),
            inputs=(*proto.input, *captured),
            outputs=tuple(proto.output),
            attributes=attributes,
            precision=precision,
            captured=len(captured),
        )
        if domain == "" and node.op == "Constant":
            constants[node.outputs[0]] = _constant(node)
        else:
            nodes.append(node)
    listed = {proto.name for proto in graph.initializer}
    given = [value for value in graph.input if value.name not in listed]
    ranks = tuple(len(one.shape.dim) if one.HasField("shape") else None for one in (v.type.tensor_type for v in given))
    inputs, outputs = (tuple(value.name for value in values) for values in (given, graph.output))
    return Graph(with_narrow(sorted_nodes(nodes), graph), constants, inputs, outputs, ranks)


def read_graph(model: ModelProto, folder: Path | None, precision: torch.dtype) -> Graph:
    """Decode the main graph; the proto is only read.

    Raises: UntranslatableError.
    """
    return _read(model.graph, folder, precision, opsets(model))
