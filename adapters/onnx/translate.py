"""Graph -> torch module: look up every operator, compute what is constant, fuse, compile."""

from dataclasses import dataclass
from pathlib import Path

import torch
from onnx import ModelProto, inliner
from torch import Tensor

from .fuse import fuse_batch_norm
from .graph import Graph, live_nodes, read_graph
from .interpreter import Interpreter, evaluate
from .node import Node, UntranslatableError
from .operators import lookup
from .operators.values import Operator


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


def _missing(nodes: list[Node]) -> tuple[str, ...]:
    return tuple(sorted({node.key for node in nodes if lookup(node.domain, node.op, node.opset) is None}))


def _folded(nodes: list[Node], constants: dict[str, Tensor]) -> list[tuple[Node, Operator]]:
    """The nodes that remain once everything independent of the input is a constant."""
    remaining: list[tuple[Node, Operator]] = []
    for node in nodes:
        operator = lookup(node.domain, node.op, node.opset)
        if operator is None:
            raise UntranslatableError(f"the twin cannot compute {node.key}")
        if any(name and name not in constants for name in node.inputs):
            remaining.append((node, operator))
            continue
        try:
            values = evaluate(node, operator, [constants[name] if name else None for name in node.inputs])
        except UntranslatableError:
            raise
        except Exception as error:
            raise UntranslatableError(f"{node.key} on constants: {first_line(error)}") from error
        constants.update({name: value for name, value in zip(node.outputs, values, strict=False) if name})
    return remaining


def translate(
    model: ModelProto,
    folder: Path | None,
    input_name: str,
    output_name: str,
    precision: torch.dtype = torch.float32,
) -> Translation:
    """The torch twin from one input to one tensor of the graph; `precision` is what narrow floats compute in."""
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        graph: Graph = read_graph(model, folder, input_name, precision)
        nodes = live_nodes(graph.nodes, [output_name])
        missing = _missing(nodes)
        if missing:
            return Translation(None, missing, f"the twin cannot compute {', '.join(missing)}")
        constants = dict(graph.constants)
        constants.pop(input_name, None)
        remaining = fuse_batch_norm(_folded(nodes, constants), constants, output_name)
        module = Interpreter(remaining, constants, input_name, output_name)
    except UntranslatableError as error:
        return Translation(None, (), str(error))
    return Translation(module.eval())
