"""Graph -> torch module: look up every operator, compute what is constant, fuse, compile."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from onnx import ModelProto
from torch import Tensor

from .fuse import fuse
from .graph import Graph, inlined, live_nodes, read_graph
from .interpreter import Interpreter, Row, evaluate
from .node import Node, UntranslatableError
from .operators import lookup
from .operators.control import Control, Running
from .operators.obstacle import draws, settled
from .pair import Value
from .splice import spliced, taken

_SPARE = 256 << 20
_GROWTH = 16
"""Bytes of computed constants for each stored one: packed weights grow eightfold, and pass a few operators."""


@dataclass(frozen=True)
class Translation:
    """The module, or the complete list of operators that it would need."""

    module: Interpreter | None
    missing: tuple[str, ...] = ()
    reason: str = ""


def first_line(error: BaseException, limit: int = 200) -> str:
    """What an error says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _bodies(node: Node) -> Iterator[tuple[str, Graph]]:
    return ((key, value) for key, value in node.attributes.items() if isinstance(value, Graph))


def _missing(nodes: Sequence[Node], constants: Mapping[str, Tensor]) -> set[str]:
    """Operators without a row, in these nodes and in their bodies; not in a branch that is never taken."""
    found = {node.key for node in nodes if lookup(node.domain, node.op, node.opset) is None}
    for node in nodes:
        branch = taken(node, constants)
        for body in [body for _, body in _bodies(node)] if branch is None else [branch]:
            found |= _missing(body.nodes, {**constants, **body.constants})
    return found


def _row(node: Node) -> Row:
    row = lookup(node.domain, node.op, node.opset)
    if row is None:
        raise UntranslatableError(f"the twin cannot compute {node.key}")
    return row


def _with_modules(node: Node, constants: Mapping[str, Tensor]) -> Node:
    """The node with its bodies compiled; each takes its own inputs first and what varies around it after them."""
    bodies = dict(_bodies(node))
    if not bodies:
        return node
    own = len(node.inputs) - node.captured
    outer = [name for name in node.inputs[own:] if name not in constants]
    modules = {}
    for key, body in bodies.items():
        reads = set(body.captured)
        # a name that this body does not read from outside may be one of its own
        given = [name if name in reads else f"//unread//{place}" for place, name in enumerate(outer)]
        known = {name: constants[name] for name in reads if name in constants}
        body = replace(body, constants={**body.constants, **known})
        modules[key] = _compiled(body, [*body.inputs, *given], body.outputs)
    ranks = {"ranks": bodies["body"].ranks} if "body" in bodies else {}
    attributes = {**node.attributes, **modules, **ranks}
    return replace(node, inputs=(*node.inputs[:own], *outer), captured=len(outer), attributes=attributes)


def _evaluated(node: Node, row: Row, values: Sequence[Tensor | None]) -> Sequence[Value]:
    """Outputs of a node on constants.

    Raises: UntranslatableError.
    """
    try:
        return row.forward(node, Running(False), *values) if isinstance(row, Control) else evaluate(node, row, values)
    except UntranslatableError:
        raise
    except Exception as error:
        raise UntranslatableError(f"{node.key} on constants: {first_line(error)}") from error


def _draws(node: Node, row: Row) -> bool:
    bodies = (value for value in node.attributes.values() if isinstance(value, Interpreter))
    return draws(row) or any(body.random for body in bodies)


def _folded(nodes: Sequence[Node], constants: dict[str, Tensor]) -> list[tuple[Node, Row]]:
    """Run every node whose inputs are all constant now; the rest stays."""
    remaining: list[tuple[Node, Row]] = []
    budget = _SPARE + _GROWTH * _bytes(constants)
    pending = deque(nodes)
    while pending:
        node = pending.popleft()
        branch = taken(node, constants)
        if branch is not None:
            inner, more = spliced(node, branch)
            constants.update(more)
            pending.extendleft(reversed(inner))
            continue
        row = settled(_row(node), node, constants)
        node = _with_modules(node, constants)
        known = all(not name or name in constants for name in node.inputs)
        if not known or _draws(node, row):
            remaining.append((node, row))
            continue
        values = _evaluated(node, row, [constants[name] if name else None for name in node.inputs])
        made = {name: value for name, value in zip(node.outputs, values, strict=False) if name}
        kept = {name: value for name, value in made.items() if isinstance(value, Tensor)}
        constants.update(kept)
        budget -= _bytes(kept)
        if budget < 0:
            raise UntranslatableError("the graph makes far larger constants than it stores")
    return remaining


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _compiled(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Interpreter:
    nodes = live_nodes(graph.nodes, outputs)
    constants = {name: value for name, value in graph.constants.items() if name not in inputs}
    remaining = fuse(_folded(nodes, constants), constants, outputs)
    return Interpreter(remaining, constants, inputs, outputs)


def _why(missing: Sequence[str]) -> str:
    text = f"the twin cannot compute {', '.join(missing)}"
    if any(key.startswith("com.microsoft.nchwc::") for key in missing):
        text += "; onnxruntime laid this file out for one kind of processor, give the file from before that"
    return text


def translate(
    model: ModelProto,
    folder: Path | None,
    input_name: str | Sequence[str],
    output_name: str | Sequence[str],
    precision: torch.dtype = torch.float32,
) -> Translation:
    """The torch twin from the inputs to tensors of the graph; `precision` is what narrow floats compute in."""
    inputs, outputs = ([names] if isinstance(names, str) else list(names) for names in (input_name, output_name))
    try:
        graph = read_graph(inlined(model), folder, precision)
        missing = tuple(sorted(_missing(live_nodes(graph.nodes, outputs), graph.constants)))
        if missing:
            return Translation(None, missing, _why(missing))
        module = _compiled(graph, inputs, outputs)
    except UntranslatableError as error:
        return Translation(None, (), str(error))
    return Translation(module.eval())
