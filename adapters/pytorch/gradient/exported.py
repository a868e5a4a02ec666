"""The same obstacles, read off the graph that torch.export makes of a module."""

import contextlib
import io
import logging
import warnings
from typing import Any

import torch
from torch import Tensor, fx, nn

from ...effects import CUTS, DRAWS
from .families import base_name, draws, effect_of, effect_of_types


def obstacles_in_export(module: nn.Module, x: Tensor) -> dict[str, str] | None:
    """Operation -> what it does to a gradient, on the way from x (N, ...); None where torch.export refuses the module.

    A second opinion for modules that cannot be watched while they run: exporting takes seconds where watching takes
    one forward, refuses what depends on values, and sees no detach inside of no_grad.
    """
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (x,), strict=False)
    except Exception:  # the tracer fails in as many ways as modules are written
        return None
    finally:
        logging.disable(level)
    found: dict[str, str] = {}
    inputs = set(program.graph_signature.user_inputs)
    _walk(program.graph_module, [node.name in inputs for node in _placeholders(program.graph_module)], found)
    return found


def _placeholders(graph: fx.GraphModule) -> list[fx.Node]:
    return [node for node in graph.graph.nodes if node.op == "placeholder"]


def _walk(graph: fx.GraphModule, given: list[bool], found: dict[str, str]) -> None:
    followed = {node for node, follows in zip(_placeholders(graph), given, strict=True) if follows}
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        sources = [source for source in node.all_input_nodes if source in followed]
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            _enter(graph, node, followed, found)
        elif isinstance(node.target, torch._ops.OpOverload):
            _judge(node, node.target, sources, found)
        if sources:
            followed.add(node)


def _enter(graph: fx.GraphModule, node: fx.Node, followed: set[fx.Node], found: dict[str, str]) -> None:
    """Bodies of wrap_with_set_grad_enabled and its like."""
    values = [value for value in node.args if isinstance(value, fx.Node) and value.op != "get_attr"]
    if "set_grad_enabled" in str(node.target) and node.args[0] is False and any(v in followed for v in values):
        found["no_grad"] = CUTS
    for body in (value for value in node.args if isinstance(value, fx.Node) and value.op == "get_attr"):
        inner = getattr(graph, str(body.target), None)
        if isinstance(inner, fx.GraphModule):
            given = [value in followed for value in values]
            if len(given) == len(_placeholders(inner)):
                _walk(inner, given, found)


def _judge(node: fx.Node, operation: torch._ops.OpOverload, sources: list[fx.Node], found: dict[str, str]) -> None:
    name = base_name(operation)
    given: dict[str, object] = dict(zip((a.name for a in operation._schema.arguments), node.args, strict=False))
    if draws(operation, given | node.kwargs):
        found[name] = DRAWS
    if not sources:
        return
    effect = CUTS if name == "detach" else effect_of(operation.namespace, name)
    if effect is not None:
        found[name] = effect
    before, after = _type(sources[-1]), _type(node)
    special = effect_of_types(name, before, after) if before and after else None
    found.update([special] if special else [])


def _type(node: fx.Node) -> torch.dtype | None:
    value: Any = node.meta.get("val")
    return value.dtype if isinstance(value, Tensor) else None
