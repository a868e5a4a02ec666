"""Operators of a graph that draw random numbers."""

import torch
from onnx import ModelProto, NodeProto
from torch import Tensor

from ..file.walk import all_nodes
from ..translator.graph import opsets, standard_domain, tensor_of
from ..translator.node import Node, UntranslatableError
from ..translator.operators import lookup
from ..translator.operators.obstacle import draws, settled
from .branches import running_nodes, single_constants
from .obstacles import upstream


def _switches(model: ModelProto) -> dict[str, Tensor]:
    """Constants of one element: among them is what switches a Dropout on and off."""
    found = {}
    for name, proto in single_constants(model).items():
        try:
            found[name] = tensor_of(proto, None, torch.float32)
        except UntranslatableError:
            continue
    return found


def _drawing(node: NodeProto, versions: dict[str, int], constants: dict[str, Tensor]) -> str:
    """The operator's name if this use of it draws, else nothing."""
    domain = standard_domain(node.domain)
    version = versions.get(domain, 1)
    plain = Node(domain, node.op_type, node.name, version, tuple(node.input), tuple(node.output))
    row = lookup(domain, node.op_type, version)
    return plain.key if row is not None and draws(settled(row, plain, constants)) else ""


def random_operators(model: ModelProto, wanted: str) -> tuple[str, ...]:
    """Names of the operators on the way to the wanted tensor that draw; of an inlined model."""
    versions, constants = opsets(model), _switches(model)
    nodes = running_nodes(upstream(model, wanted), single_constants(model))
    names = {_drawing(node, versions, constants) for node in nodes}
    return tuple(sorted(names - {""}))


def may_draw(model: ModelProto) -> bool:
    """Whether anything in the file, functions and all, could draw."""
    versions, constants = opsets(model), _switches(model)
    return any(_drawing(node, versions, constants) for node in all_nodes(model))
