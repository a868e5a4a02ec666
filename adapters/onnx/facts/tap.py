"""Where gradients should start: the tensor in front of a final ArgMax, TopK or Softmax."""

from typing import Literal

from onnx import ModelProto, NodeProto

_THROUGH = {"Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten"}
_PICKS = {"Gather", "Slice"}
"""What takes the first of the best k."""
_COARSE = {"QuantizeLinear", "DequantizeLinear"}
_RANKS = {"ArgMax", "TopK"}
_TAPPED = {"Softmax", "LogSoftmax", "Exp"} | _RANKS

Ranked = Literal["values", "places", "pairs"]


def _makers(model: ModelProto) -> dict[str, NodeProto]:
    return {name: node for node in model.graph.node for name in node.output if name}


def tap(model: ModelProto, output: str, labels: bool) -> tuple[str, str]:
    """(tensor, operator behind it) for an output; the operator is "" when the output itself is the place.

    Shape-only operators are passed over, and the quantisation of what a Softmax makes; a Softmax in front of an ArgMax
    is tapped as well.
    """
    maker = _makers(model)
    if output in maker and maker[output].op_type == "ZipMap":
        output = maker[output].input[0]
    through = _THROUGH | _TAPPED | _COARSE | (_PICKS if labels else set())
    place, found = output, ""
    name = output
    while name in maker:
        node = maker[name]
        first = node.output[-1 if node.op_type == "TopK" else 0]
        if node.op_type not in through or not node.input or first != name:
            break
        if found and not labels and node.op_type in _TAPPED - {"LogSoftmax"}:
            # the softmax of a softmax is not the softmax of what lies in front of it
            break
        name = node.input[0]
        if node.op_type in _TAPPED and (labels or node.op_type not in _RANKS):
            place, found = name, found or node.op_type
    return place, found


def _of_pairs(node: NodeProto) -> bool:
    """Whether a support vector machine answers with one number for every two of its classes."""
    given = {entry.name: len(entry.ints) + len(entry.floats) for entry in node.attribute}
    return given.get("vectors_per_class", 0) > 2 and not given.get("prob_a", 0)


def ranked(model: ModelProto, output: str) -> Ranked | None:
    """What makes an output no row of scores: a TopK that sorts them or names the best, an SVM that compares pairs."""
    maker = _makers(model)
    name = output
    while name in maker:
        node = maker[name]
        if node.op_type == "TopK":
            return "values" if name == node.output[0] else "places"
        if node.op_type == "SVMClassifier" and _of_pairs(node):
            return "pairs"
        if node.op_type not in _THROUGH | _PICKS or not node.input:
            return None
        name = node.input[0]
    return None
