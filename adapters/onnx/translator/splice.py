"""An If whose condition is known: the branch that it takes stands in its place."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from .graph import Graph
from .node import Node


def taken(node: Node, constants: Mapping[str, Tensor]) -> Graph | None:
    """The branch that an If takes whatever the input is, None when that is open or the node is something else."""
    known = constants.get(node.inputs[0]) if (node.domain, node.op) == ("", "If") and node.inputs else None
    if known is None or known.numel() != 1:
        return None
    branch = node.attributes.get("then_branch" if bool(known.reshape(())) else "else_branch")
    return branch if isinstance(branch, Graph) else None


def _renamed_graph(graph: Graph, names: Mapping[str, str]) -> Graph:
    own = graph.made
    visible = {old: new for old, new in names.items() if old not in own}
    nodes = tuple(_renamed(node, visible) for node in graph.nodes)
    return replace(graph, nodes=nodes, outputs=tuple(visible.get(name, name) for name in graph.outputs))


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    attributes = {
        key: _renamed_graph(value, names) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    inputs, outputs = (tuple(names.get(name, name) for name in each) for each in (node.inputs, node.outputs))
    return replace(node, inputs=inputs, outputs=outputs, attributes=attributes)


def spliced(node: Node, branch: Graph) -> tuple[list[Node], dict[str, Tensor]]:
    """Nodes and constants of the branch under names of their own, writing what the If wrote."""
    home = next(name for name in node.outputs if name)
    names = {name: f"{home}//if//{name}" for name in branch.made if name}
    nodes = [_renamed(inner, names) for inner in branch.nodes]
    for made, wanted in zip(branch.outputs, node.outputs, strict=False):
        if wanted:
            source = (names.get(made, made),)
            step = Node("", "Identity", node.name, node.opset, source, (wanted,), precision=node.precision)
            nodes.append(step)
    return nodes, {names[name]: value for name, value in branch.constants.items()}
