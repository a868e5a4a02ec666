"""What onnxruntime says, as one sentence with a remedy."""

import re

from onnx import TensorProto

from .preflight import Checked, custom_operators
from .walk import all_tensors

_NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : (\w+) : ")
_LONGEST = 240


def shortened(error: BaseException) -> str:
    """The first line without prefixes and source locations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = _NOISE.sub("", " ".join(lines))
    text = re.sub(r"/\S*?/(\w+\.(?:cc|h)):\d+ .*?\) ", "", text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def one_line(checked: Checked, error: BaseException) -> str:
    """What, where, what to do."""
    custom = custom_operators(checked.model)
    said = str(error)
    if custom:
        names = ", ".join(custom[:4])
        return (
            f"{checked.path} needs the custom operators {names}, which onnxruntime does not have; export without them"
        )
    double = any(t.data_type == TensorProto.DOUBLE for t in all_tensors(checked.path, checked.model))
    if "NOT_IMPLEMENTED" in said and (double or "double" in said.lower()):
        what = f"computes in float64 where onnxruntime has no kernel ({shortened(error)})"
        return f"{checked.path} {what}; export as float32"
    return f"{checked.path} cannot be run by onnxruntime ({shortened(error)}); export the model again"
