"""Operators on the way from the input to the scores that stop, fake or randomise a gradient."""

from onnx import ModelProto, NodeProto, TensorProto

from ..file.walk import nested_nodes
from ..translator.graph import opsets, standard_domain
from ..translator.operators import lookup
from ..translator.operators.obstacle import DRAWS, QUANTISES, SORTS, THRESHOLDS, Obstacle
from ..translator.types import is_integer
from .branches import running_nodes, single_constants

_TREES = "a tree of thresholds, the gradient is zero"
_UNTRANSLATED = {
    "NonMaxSuppression": SORTS,
    "DynamicQuantizeLSTM": QUANTISES,
    "QAttention": QUANTISES,
    "QEmbedLayerNormalization": QUANTISES,
    "TreeEnsemble": _TREES,
    "TreeEnsembleClassifier": _TREES,
    "TreeEnsembleRegressor": _TREES,
}
"""What the twin cannot run, and what it would do to a gradient."""
SHAPE_ONLY = {"Shape", "Size"}


def _to_integer(node: NodeProto) -> int:
    """The type code of a cast to integers or truth values, 0 for every other node."""
    codes = [entry.i for entry in node.attribute if entry.name == "to"]
    return next((code for code in codes if is_integer(code)), 0) if node.op_type == "Cast" else 0


def _said(node: NodeProto, versions: dict[str, int]) -> dict[str, str]:
    """Operator -> what it does to a gradient; empty for most."""
    domain = standard_domain(node.domain)
    row = lookup(domain, node.op_type, versions.get(domain, 1))
    effect = row.effect if isinstance(row, Obstacle) else "" if row is not None else _UNTRANSLATED.get(node.op_type, "")
    if node.op_type == "Cast":
        code = _to_integer(node)
        effect = THRESHOLDS if code == TensorProto.BOOL else effect if code else ""
    rounding = any(entry.name == "accuracy_level" and entry.i == 4 for entry in node.attribute)
    if node.op_type == "MatMulNBits" and not rounding:
        effect = ""
    return {f"{domain}::{node.op_type}" if domain else node.op_type: effect} if effect else {}


def upstream(model: ModelProto, wanted: str) -> list[NodeProto]:
    """Nodes that the wanted tensor needs, in the order of the file."""
    maker = {name: place for place, node in enumerate(model.graph.node) for name in node.output if name}
    pending, seen = [wanted], set()
    while pending:
        place = maker.get(pending.pop())
        if place is not None and place not in seen:
            seen.add(place)
            for node in nested_nodes([model.graph.node[place]]):
                pending.extend(node.input)
    return [model.graph.node[place] for place in sorted(seen)]


def find_obstacles(model: ModelProto, input_name: str, wanted: str) -> dict[str, str]:
    """Operator -> what it does, for operators of an inlined model that see the input's values, not only its shape."""
    versions = opsets(model)
    nodes, known = upstream(model, wanted), single_constants(model)
    seen = {input_name}
    while True:
        before = len(seen)
        for node in nodes:
            inner = list(nested_nodes([node]))
            if node.op_type not in SHAPE_ONLY and any(name in seen for part in inner for name in part.input):
                seen.update(name for name in node.output if name)
        if len(seen) == before:
            break
    found: dict[str, str] = {}
    for node in nodes:
        for part in running_nodes([node], known):
            said = _said(part, versions)
            if part.op_type == "Gather" and part.input[1] in seen:
                said = {"Gather": "looks up a table, no gradient passes through the place"}
            if seen.intersection(node.output) or DRAWS in said.values():
                found.update(said)
    return found
