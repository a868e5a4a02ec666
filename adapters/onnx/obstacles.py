"""Operators on the way from the input to the scores that stop, fake or randomise a gradient."""

from onnx import ModelProto, NodeProto, TensorProto

from .graph import standard_domain
from .types import is_integer
from .walk import all_nodes, nested_nodes

_ROUNDS = "rounds to whole numbers, the gradient is zero"
_THRESHOLD = "compares, no gradient passes through the answer"
_QUANTISES = "quantises to a few levels, the gradient is zero or missing"
_SORTS = "picks by rank, no gradient passes through the order"
_DRAWS = "draws random numbers, one answer is not the next"

OBSTACLES: dict[str, str] = {
    "Round": _ROUNDS,
    "Floor": _ROUNDS,
    "Ceil": _ROUNDS,
    "Mod": "wraps around, the gradient jumps",
    "Sign": "keeps only the sign, the gradient is zero",
    "Greater": _THRESHOLD,
    "GreaterOrEqual": _THRESHOLD,
    "Less": _THRESHOLD,
    "LessOrEqual": _THRESHOLD,
    "Equal": _THRESHOLD,
    "Not": _THRESHOLD,
    "Binarizer": _THRESHOLD,
    "ArgMax": _SORTS,
    "ArgMin": _SORTS,
    "Hardmax": _SORTS,
    "TopK": _SORTS,
    "NonZero": _SORTS,
    "NonMaxSuppression": _SORTS,
    "Unique": _SORTS,
    "OneHot": "turns an index into a row, no gradient passes through the index",
    "BitShift": "works on bits, there is no gradient",
    "BitwiseAnd": "works on bits, there is no gradient",
    "BitwiseOr": "works on bits, there is no gradient",
    "BitwiseXor": "works on bits, there is no gradient",
    "QuantizeLinear": _QUANTISES,
    "DynamicQuantizeLinear": _QUANTISES,
    "QLinearConv": _QUANTISES,
    "QLinearMatMul": _QUANTISES,
    "QLinearAdd": _QUANTISES,
    "QLinearMul": _QUANTISES,
    "QLinearSigmoid": _QUANTISES,
    "QLinearLeakyRelu": _QUANTISES,
    "QLinearAveragePool": _QUANTISES,
    "QLinearGlobalAveragePool": _QUANTISES,
    "QLinearConcat": _QUANTISES,
    "QLinearSoftmax": _QUANTISES,
    "QGemm": _QUANTISES,
    "ConvInteger": _QUANTISES,
    "MatMulInteger": _QUANTISES,
    "DynamicQuantizeMatMul": _QUANTISES,
    "Bernoulli": _DRAWS,
    "Multinomial": _DRAWS,
    "RandomNormal": _DRAWS,
    "RandomNormalLike": _DRAWS,
    "RandomUniform": _DRAWS,
    "RandomUniformLike": _DRAWS,
    "TreeEnsemble": "a tree of thresholds, the gradient is zero",
    "TreeEnsembleClassifier": "a tree of thresholds, the gradient is zero",
    "TreeEnsembleRegressor": "a tree of thresholds, the gradient is zero",
}
_SHAPE_ONLY = {"Shape", "Size"}


def _to_integer(node: NodeProto) -> bool:
    codes = [entry.i for entry in node.attribute if entry.name == "to"]
    return node.op_type == "Cast" and any(is_integer(code) for code in codes)


def _said(node: NodeProto) -> dict[str, str]:
    if _to_integer(node):
        kind = next(entry.i for entry in node.attribute if entry.name == "to")
        return {"Cast": _THRESHOLD if kind == TensorProto.BOOL else "cuts to whole numbers, there is no gradient"}
    reason = OBSTACLES.get(node.op_type)
    domain = standard_domain(node.domain)
    return {} if reason is None else {f"{domain}::{node.op_type}" if domain else node.op_type: reason}


def _upstream(model: ModelProto, wanted: str) -> list[NodeProto]:
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
    """Operator -> what it does, for operators that see the input's values and not only its shape."""
    if model.functions:
        return {key: text for node in all_nodes(model) for key, text in _said(node).items()}
    nodes = _upstream(model, wanted)
    seen = {input_name}
    while True:
        before = len(seen)
        for node in nodes:
            inner = list(nested_nodes([node]))
            if node.op_type not in _SHAPE_ONLY and any(name in seen for part in inner for name in part.input):
                seen.update(name for name in node.output if name)
        if len(seen) == before:
            break
    found: dict[str, str] = {}
    for node in nodes:
        for part in nested_nodes([node]):
            if seen.intersection(node.output) or OBSTACLES.get(part.op_type) == _DRAWS:
                found.update(_said(part))
    return found
