"""What the graph tells of an output with one number per sample: a flag, a sigmoid, or the layer in front of a head."""

from collections.abc import Iterable

from onnx import ModelProto, NodeProto, TensorProto

from .branches import single_constants
from .obstacles import SHAPE_ONLY, upstream

_SHAPES = {"Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten"}
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_VERDICTS = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not", "And", "Or", "Xor"}
_PRODUCTS = {"Gemm", "MatMul", "FusedGemm", "FusedMatMul", "MatMulNBits", "QLinearMatMul", "QGemm", "MatMulInteger"}
_AFTER_HEAD = {*_SHAPES, "Cast", "Add", "Sub", "Mul", "Div", "QuantizeLinear", "DequantizeLinear", "QLinearAdd"}
"""What may stand between the last product and the scores: a bias, a temperature, a scale."""


def _makers(model: ModelProto) -> dict[str, NodeProto]:
    return {name: node for node in model.graph.node for name in node.output if name}


def _casts_to(node: NodeProto) -> int:
    return next((entry.i for entry in node.attribute if entry.name == "to"), 0) if node.op_type == "Cast" else 0


def sigmoid_behind(model: ModelProto, output: str) -> str | None:
    """The tensor whose sigmoid an output is, if it is one."""
    makers, name = _makers(model), output
    while name in makers:
        node = makers[name]
        if node.op_type == "Sigmoid":
            return str(node.input[0])
        if node.op_type not in _SHAPES and _casts_to(node) not in _FLOATS:
            return None
        name = node.input[0]
    return None


def is_verdict(model: ModelProto, output: str) -> bool:
    """Whether a comparison makes an output."""
    makers, name = _makers(model), output
    while name in makers:
        node = makers[name]
        if node.op_type in _VERDICTS:
            return True
        if not node.input or (node.op_type not in _SHAPES and not _casts_to(node)):
            return False
        name = node.input[0]
    return False


def features_of(model: ModelProto, input_name: str, wanted: str) -> str | None:
    """The tensor that the last product with a stored matrix on the way to the wanted one takes; None without one."""
    nodes = upstream(model, wanted)
    seen, makers = _dependent(nodes, input_name), {name: node for node in nodes for name in node.output if name}
    small = single_constants(model)
    name = wanted
    while name in makers:
        node = makers[name]
        live = [source for source in node.input if source in seen]
        if len(live) != 1 or (node.op_type not in _PRODUCTS | _AFTER_HEAD):
            return None
        if node.op_type in _PRODUCTS:
            return str(live[0])
        if node.op_type in ("Mul", "Div") and not any(source in small for source in node.input):
            return None
        name = live[0]
    return None


def _dependent(nodes: Iterable[NodeProto], input_name: str) -> set[str]:
    """Names that depend on the input's values; the nodes may come in any order."""
    nodes, seen, before = list(nodes), {input_name}, 0
    while before != len(seen):
        before = len(seen)
        for node in nodes:
            if node.op_type not in SHAPE_ONLY and any(name in seen for name in node.input):
                seen.update(name for name in node.output if name)
    return seen
