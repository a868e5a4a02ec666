"""How close twin and deployed forward can be, to judge by the number format that the file computes in."""

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from ..file.walk import all_nodes
from .tap import tap

_FLOAT = 1e-4
_HALF = 5e-3
# onnxruntime differs from itself by up to 1.5e-2 of the range between optimisation levels
_QUANTISED = 2e-2
_NARROW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_WORDS = ("quantize", "qlinear", "integer", "qgemm", "nbits")
_SHAPES_ONLY = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast"}


@dataclass(frozen=True)
class NumberFormat:
    """What the file computes in, and what rounding that excuses."""

    name: str
    tolerance: float
    """Relative to the largest logit."""
    step: float | None = None
    """One quantisation step of the scores, None where they are not quantised."""


def is_half(model: ModelProto) -> bool:
    """Whether anything computes in sixteen bits."""
    graphs = [model.graph]
    codes = [value.type.tensor_type.elem_type for value in model.graph.input]
    for node in all_nodes(model):
        for entry in node.attribute:
            codes += [entry.i] if entry.name == "to" else []
            codes += [entry.t.data_type] if entry.HasField("t") else []
            graphs += [entry.g] if entry.HasField("g") else []
    codes += [tensor.data_type for graph in graphs for tensor in graph.initializer]
    return any(code in _NARROW for code in codes)


def is_quantised(model: ModelProto) -> bool:
    """Whether any operator computes in a few levels."""
    return any(word in node.op_type.lower() for node in all_nodes(model) for word in _WORDS)


def _scale(model: ModelProto, node: NodeProto) -> float | None:
    """The largest step of a DequantizeLinear with a stored scale."""
    for tensor in model.graph.initializer:
        if tensor.name == node.input[1] and tensor.data_location != TensorProto.EXTERNAL:
            return float(np.abs(numpy_helper.to_array(tensor).astype(np.float64)).max())
    return None


def _output_step(model: ModelProto, wanted: str) -> float | None:
    maker = {name: node for node in model.graph.node for name in node.output if name}
    while wanted in maker:
        node = maker[wanted]
        if node.op_type == "DequantizeLinear":
            return _scale(model, node)
        if node.op_type not in _SHAPES_ONLY:
            return None
        wanted = node.input[0]
    return None


def softmax_step(model: ModelProto, output: str) -> float:
    """How coarsely a Softmax in front of an output is quantised; 0 where it is not."""
    softmax = tap(model, output, labels=False).operator == "Softmax"
    return (_output_step(model, output) or 0.0) if softmax else 0.0


def number_format(model: ModelProto, wanted: str) -> NumberFormat:
    """The coarsest format on the way to the tensor `wanted`."""
    if is_quantised(model):
        return NumberFormat("quantised", _QUANTISED, _output_step(model, wanted))
    return NumberFormat("half", _HALF) if is_half(model) else NumberFormat("float", _FLOAT)
