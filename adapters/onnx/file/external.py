"""External data: only regular files beside the model, and only the bytes that they have."""

import math
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import TensorProto

from ....harness.errors import ModelError
from ..translator.types import storage_bytes

_KEYS = {"location", "offset", "length", "checksum", "basepath"}


def _refuse(path: Path, location: str, why: str) -> ModelError:
    return ModelError(f"{path} wants external data {location!r}, which {why}")


def _resolved(path: Path, location: str) -> Path:
    """The file that a location names.

    Raises: ModelError.
    """
    relative = PurePosixPath(location)
    windows = PureWindowsPath(location)
    outside = (
        relative.is_absolute() or windows.is_absolute() or windows.drive or ".." in (*relative.parts, *windows.parts)
    )
    if not location or "\x00" in location or outside:
        raise _refuse(path, location, "lies outside the model's folder; keep weights beside the model")
    folder = path.parent
    current = folder
    for part in relative.parts:
        current = current / part
        if current.is_symlink():
            raise _refuse(path, location, "is a link; copy the file itself with cp -L")
    if not current.exists():
        raise _refuse(path, location, "does not exist; copy it beside the model")
    if not current.is_file():
        raise _refuse(path, location, "is not a regular file; keep weights in a plain file beside the model")
    if os.stat(current).st_nlink > 1:
        raise _refuse(path, location, "is a hard link; copy the file itself with cp")
    return current


def _number(path: Path, location: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise _refuse(path, location, f"has the impossible offset or length {text[:20]!r}; export the model again")
    return int(text)


def check_external(path: Path, tensors: list[TensorProto]) -> tuple[Path, ...]:
    """The external files of a model, each once.

    Raises: ModelError.
    """
    found: dict[Path, None] = {}
    for tensor in tensors:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        unknown = set(entries) - _KEYS
        if unknown:
            raise _refuse(path, location, f"has the unknown key {sorted(unknown)[0]!r}; export the model again")
        file = _resolved(path, location)
        offset = _number(path, location, entries.get("offset", "0"))
        available = file.stat().st_size - offset
        expected = storage_bytes(tensor.data_type, math.prod(tensor.dims))
        length = _number(path, location, entries["length"]) if "length" in entries else expected
        if expected is None or length != expected or length > available:
            raise _refuse(
                path, location, "does not hold the bytes that the tensor's shape needs; copy or export it again"
            )
        found[file] = None
    return tuple(found)
