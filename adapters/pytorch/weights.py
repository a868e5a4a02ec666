"""Weights from files that nobody vouches for: what a file is, by content, and its tensors without running its code."""

import hashlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...harness.errors import ModelError, UnsafeModelError, UnusableError

FileKind = Literal["safetensors", "torch", "TorchScript archive", "exported program", "zip", "text", "other"]

BOMB_BYTES = 4 * 2**30
BOMB_RATIO = 20
_SAFETENSORS_HEADER = 100_000_000
_LFS = b"version https://git-lfs"
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.")
WAY_OUT = "export the model to ONNX, or save its state dict and give it as --weights with file.py:factory as the model"


def require_file(path: Path, error: type[UnusableError] = ModelError) -> bytes:
    """The first kilobyte of a file with real content.

    Raises:
        UnusableError: of the class `error`: missing, a folder, unreadable, empty, or a Git-LFS pointer.
    """
    if not os.path.exists(path):  # unlike Path.exists, False for a name too long to be one
        raise error(f"{path} does not exist: check the path")
    if path.is_dir():
        raise error(f"{path} is a folder, not a file: name the file inside")
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as reason:
        raise error(f"{path} cannot be read ({reason.strerror}): check its permissions") from reason
    if not head:
        raise error(f"{path} is empty (0 bytes): copy or download it again")
    if head.startswith(_LFS):
        raise error(f"{path} is a Git-LFS pointer, not the file itself: run `git lfs pull`")
    return head


def file_kind(path: Path) -> FileKind:
    """What the content of a file says that it is; its name is not looked at."""
    head = require_file(path)
    if head[:4] == b"PK\x03\x04":
        return _zip_kind(path)
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER:
        return "safetensors"
    if head[0] == 0x80:  # the PROTO opcode, with which every pickle since protocol 2 and torch's legacy format begins
        return "torch"
    printable = all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head)
    return "text" if printable else "other"


def _zip_kind(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path} is a damaged zip archive ({first_line(error)}): copy or download it again") from error
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "TorchScript archive"
    if "archive_format" in names or "serialized_exported_program.json" in names or "models/model.json" in names:
        return "exported program"
    return "torch" if "data.pkl" in names else "zip"


def refuse_bomb(path: Path, error: type[UnusableError] = ModelError) -> None:
    """Do nothing if the zip archive is of a plausible size when unpacked, and also if it is no zip archive.

    Raises:
        UnusableError: of the class `error`: it would unpack to more than 4 GiB and more than 20 times its size.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    if total > max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size):
        raise error(
            f"{path} would unpack to {total / 2**30:.1f} GiB, which looks like a zip bomb: get it from elsewhere"
        )


def read_state_dict(path: Path, *, trust_code: bool = False) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tensors of a weights file by name, on the CPU, and notes on how they were unwrapped.

    Raises:
        ModelError: the file is damaged or holds no state dict.
        UnsafeModelError: reading it would run code from it, and `trust_code` is not set.
    """
    kind = file_kind(path)
    if kind == "safetensors" or (path.suffix == ".safetensors" and kind == "other"):
        return _read_safetensors(path), ()
    if kind in ("TorchScript archive", "exported program"):
        raise UnsafeModelError(f"{path} is a {kind}, not a state dict, and runs code when it is loaded: {WAY_OUT}")
    if kind != "torch":
        raise ModelError(
            f"{path} is no weights file ({kind}): give a .safetensors file or a state dict from torch.save"
        )
    return _unwrap(read_pickled(path, trust_code=trust_code), path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is a damaged safetensors file ({first_line(error)}): copy it again") from error


def read_pickled(path: Path, *, trust_code: bool) -> Any:
    """What torch.save wrote, on the CPU; with `trust_code`, whatever it is, else tensors and plain containers alone.

    Raises:
        ModelError: the file is damaged or a zip bomb.
        UnsafeModelError: it holds other objects, and `trust_code` is not set.
    """
    refuse_bomb(path)
    try:
        # An open file, because for a path torch.load lets the name decide how it is read.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=not trust_code)
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and not trust_code:
            raise UnsafeModelError(
                f"{path} holds pickled Python objects and not only tensors, and may run code when loaded: {WAY_OUT} "
                "(--trust-code loads it anyway)"
            ) from error
        # The unpickler lets any exception out for a malformed stream.
        raise ModelError(f"{path} cannot be loaded as a torch file ({first_line(error)}): save it again") from error


def _unwrap(loaded: Any, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    notes: list[str] = []
    for _ in range(2):
        key = next((k for k in _WRAPPERS if isinstance(loaded, Mapping) and isinstance(loaded.get(k), Mapping)), None)
        if key is None:
            break
        notes.append(f"the weights were taken from the entry {key!r} of {path.name}")
        loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(f"{path} holds no state dict but {_described(loaded)}: save model.state_dict() into it")
    for name, value in loaded.items():
        if not isinstance(name, str) or not (isinstance(value, Tensor) or name.endswith("_extra_state")):
            raise ModelError(f"{path} holds no state dict: its entry {name!r} is {_described(value)}, not a tensor")
    return dict(loaded), tuple(notes)


def _described(value: object) -> str:
    return "nothing" if isinstance(value, Mapping) and not value else f"a {type(value).__name__}"


def apply_state_dict(module: nn.Module, state: dict[str, Any], where: str) -> tuple[str, ...]:
    """Load the tensors into the module, every one of them, and say in notes which prefix was dropped from the names.

    Raises:
        ModelError: names or shapes differ; the text names the first few.
    """
    notes: list[str] = []
    own = module.state_dict().keys()
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in own):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
            notes.append(f"the prefix {prefix!r} was dropped from the names of the weights")
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        detail = lines[1] if len(lines) > 1 else lines[0]
        raise ModelError(f"{where} does not fit the model ({detail.rstrip('.')}): use the matching factory") from error
    if missing or unexpected:
        parts = [
            f"{len(names)} {what} ({_first(names)})"
            for what, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise ModelError(f"{where} does not fit the model: weights {' and '.join(parts)}; use the matching factory")
    return tuple(notes)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(module: nn.Module) -> str:
    """The sha256 over names, types, shapes and bytes of a module's state dict, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        _update(digest, name, value)
    return digest.hexdigest()


def contents(module: nn.Module) -> str:
    """The same over its parameters and buffers as they are, those that are never saved included."""
    digest = hashlib.sha256()
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        _update(digest, name, value)
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if isinstance(value, tuple | list):
        for index, part in enumerate(value):
            _update(digest, f"{name}[{index}]", part)
    elif isinstance(value, Tensor):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(_bytes(value.detach()))
    else:
        plain = value is None or isinstance(value, str | int | float)
        digest.update(f"{name} {value if plain else type(value)}".encode())


def _bytes(value: Tensor) -> bytes:
    if value.is_quantized:
        value = value.int_repr()
    if value.layout != torch.strided:
        value = value.to_dense()
    return value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def first_line(error: BaseException) -> str:
    """The first line of an error's text without its full stop, or its class if that says nothing."""
    text = str(error).strip()
    if not text or isinstance(error, KeyError):
        return f"{type(error).__name__} {text}".strip()
    return text.splitlines()[0].strip().rstrip(".")[:200]
