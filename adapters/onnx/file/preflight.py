"""Look at a model file before any runtime does: one sentence for everything that is broken or hostile."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto

from ....harness.errors import ModelError, UnsafeModelError
from .external import check_external
from .limits import check_functions, check_input_size, check_tensors, needs_probe
from .walk import all_nodes, all_tensors

_LARGEST_PROTO = 2**31 - 1
_ZIP = b"PK\x03\x04"
_PICKLE_ADVICE = "a pickle runs code when it is loaded and is no ONNX model; export the model with torch.onnx.export"
STANDARD_DOMAINS = {
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.microsoft.experimental",
    "com.ms.internal.nhwc",
    "org.pytorch.aten",
}


@dataclass(frozen=True)
class Checked:
    """A model file that may be handed to onnxruntime."""

    path: Path
    data: bytes
    model: ModelProto
    sha256: str
    external: tuple[Path, ...]
    probe: bool
    """Whether the first session and run belong into a child process with limits."""


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give the .onnx file in it")
    if not path.exists():
        raise ModelError(f"{path} does not exist; give the path of an ONNX file")
    if not path.is_file():
        raise ModelError(f"{path} is not a regular file; give the path of an ONNX file")
    try:
        size = path.stat().st_size
        if size > _LARGEST_PROTO:
            raise ModelError(f"{path} is larger than 2 GiB, which ONNX cannot read; save it with external data")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check its permissions") from None


def _refuse_foreign(path: Path, data: bytes) -> None:
    """Recognise what is often handed in instead of an ONNX file.

    Raises: ModelError, UnsafeModelError.
    """
    if not data:
        raise ModelError(f"{path} is empty; copy or export the model again")
    if data.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a Git LFS pointer and not the model; run git lfs pull")
    if data.startswith(_ZIP):
        if b"data.pkl" in data[:4096] or b"data.pkl" in data[-65536:]:
            raise UnsafeModelError(f"{path} is a PyTorch file: {_PICKLE_ADVICE}")
        raise ModelError(f"{path} is a zip archive and not an ONNX model; unpack it or export to ONNX")
    if data[0] == 0x80 and len(data) > 1 and data[1] in (2, 3, 4, 5):
        raise UnsafeModelError(f"{path} is a pickle: {_PICKLE_ADVICE}")
    head = data[:512]
    if all(byte in b"\t\r\n\f" or 32 <= byte < 127 for byte in head):
        raise ModelError(f"{path} is a text file and not an ONNX model; give the .onnx file")


def _parsed(path: Path, data: bytes) -> ModelProto:
    try:
        return onnx.load_model_from_string(data)
    except Exception:
        raise ModelError(f"{path} is no ONNX file or is cut off; copy or export the model again") from None


def _check_graph(path: Path, model: ModelProto) -> None:
    graph: GraphProto = model.graph
    if not model.HasField("graph") or not (graph.node or graph.output or graph.input):
        raise ModelError(f"{path} holds no graph; copy or export the model again")
    listed = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in listed]
    if not inputs:
        raise ModelError(f"{path} has a graph without an input; export the model with its input")
    if not graph.output:
        raise ModelError(f"{path} has a graph without an output; export the model with its output")
    if len(inputs) > 1:
        names = ", ".join(repr(name) for name in inputs[:4])
        raise ModelError(f"{path} has {len(inputs)} inputs ({names}); export a classifier with one image input")


def custom_operators(model: ModelProto) -> tuple[str, ...]:
    """Operators of domains that onnxruntime does not ship, as domain::op."""
    own = {function.domain for function in model.functions}
    found = {
        f"{node.domain}::{node.op_type}"
        for node in all_nodes(model)
        if node.domain not in STANDARD_DOMAINS and node.domain not in own
    }
    return tuple(sorted(found))


def check_file(path: Path) -> Checked:
    """Read, recognise, parse and walk a model file without running anything from it.

    Raises: ModelError, UnsafeModelError.
    """
    data = _bytes(path)
    _refuse_foreign(path, data)
    model = _parsed(path, data)
    _check_graph(path, model)
    check_functions(path, model)
    check_input_size(path, model)
    tensors = list(all_tensors(path, model))
    check_tensors(path, tensors)
    external = check_external(path, tensors)
    digest = hashlib.sha256(data)
    for extra in external:
        with extra.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return Checked(path, data, model, digest.hexdigest(), external, needs_probe(model, len(data)))
