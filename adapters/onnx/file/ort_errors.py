"""What onnxruntime says, as one sentence with a remedy."""

import re
from dataclasses import dataclass
from pathlib import Path

from onnx import TensorProto

from .preflight import Checked, custom_operators
from .walk import all_tensors

_NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : (\w+) : ")
_LONGEST = 240


def shortened(error: BaseException) -> str:
    """Everything on one line without prefixes and source locations."""
    text = _NOISE.sub("", " ".join(str(error).split()))
    text = re.sub(r"/\S*?/(\w+\.(?:cc|h)):\d+ .*?\) ", "", text).strip().rstrip(".")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


@dataclass(frozen=True)
class Blame:
    """What about a file explains the errors of onnxruntime."""

    path: Path
    custom: tuple[str, ...]
    double: bool

    def sentence(self, error: BaseException) -> str:
        """What, where, what to do."""
        said = str(error)
        if self.custom:
            names = ", ".join(self.custom[:4])
            return f"{self.path} needs the custom operators {names}, which onnxruntime lacks; export without them"
        if "NOT_IMPLEMENTED" in said and (self.double or "double" in said.lower()):
            what = f"computes in float64 where onnxruntime has no kernel ({shortened(error)})"
            return f"{self.path} {what}; export as float32"
        return f"{self.path} cannot be run by onnxruntime ({shortened(error)}); export the model again"


def blame(checked: Checked) -> Blame:
    """Everything needed to explain a later error, without keeping the file in memory."""
    double = any(tensor.data_type == TensorProto.DOUBLE for tensor in all_tensors(checked.path, checked.model))
    return Blame(checked.path, custom_operators(checked.model), double)
