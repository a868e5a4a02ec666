"""Where gradients should start: the tensor in front of a final ArgMax or Softmax."""

from onnx import ModelProto

_THROUGH = {"Identity", "Cast", "Squeeze", "Reshape", "Flatten"}
_TAPPED = {"Softmax", "LogSoftmax", "ArgMax"}


def tap(model: ModelProto, output: str, labels: bool) -> tuple[str, str]:
    """(tensor, operator behind it) for an output; the operator is "" when the output itself is the place.

    Shape-only operators are passed over; a Softmax in front of an ArgMax is tapped as well.
    """
    maker = {name: node for node in model.graph.node for name in node.output if name}
    place, found = output, ""
    name = output
    while name in maker:
        node = maker[name]
        if node.op_type not in _THROUGH | _TAPPED or not node.input or node.output[0] != name:
            break
        name = node.input[0]
        if node.op_type in _TAPPED and (labels or node.op_type != "ArgMax"):
            place, found = name, found or node.op_type
    return place, found
