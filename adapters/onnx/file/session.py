"""The deployed forward: onnxruntime on the untouched bytes of the file."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from ....harness.errors import DeviceError, ModelError
from ..facts.randomness import may_draw
from .maps import table
from .ort_errors import Blame, blame, shortened
from .preflight import Checked

Array = np.ndarray[Any, np.dtype[Any]]


def _providers(device: str) -> tuple[list[Any], str]:
    """The provider list for a device and the name that must come back.

    Raises: DeviceError.
    """
    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return ["CPUExecutionProvider"], "CPUExecutionProvider"
    if kind != "cuda" or (index and not index.isdigit()):
        raise DeviceError(f"device {device!r} is unknown; use cpu, cuda or cuda:0")
    options = {"device_id": index or "0", "use_tf32": "0"}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"], "CUDAExecutionProvider"


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # fatal only: every error is raised as well, and some are expected while a file is examined
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


@contextmanager
def _cuda_libraries() -> Iterator[None]:
    """Load what the CUDA provider needs; what is missing shows in the provider list, so the chatter is dropped."""
    with redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)


def open_session(checked: Checked, device: str) -> onnxruntime.InferenceSession:
    """A session on exactly the device that was asked for.

    Raises: DeviceError, ModelError.
    """
    providers, wanted = _providers(device)
    if wanted not in onnxruntime.get_available_providers():
        raise DeviceError(f"device {device!r} needs {wanted}, which is not installed; pip install onnxruntime-gpu")
    if may_draw(checked.model):
        # operators without a seed of their own draw the same numbers in every run of the program
        onnxruntime.set_seed(0)
    source: Any = str(checked.path) if checked.external else checked.data
    try:
        with nullcontext() if device == "cpu" else _cuda_libraries():
            session = onnxruntime.InferenceSession(source, _options(), providers=providers, enable_fallback=0)
    except Exception as error:
        if device != "cpu" and "CUDA" in str(error):
            raise DeviceError(f"device {device!r} failed ({shortened(error)}); check the driver or use cpu") from None
        raise ModelError(blame(checked).sentence(error)) from None
    got = session.get_providers()[0]
    if got != wanted:
        advice = "check the driver and pip install 'onnxruntime-gpu[cuda,cudnn]', or use cpu"
        raise DeviceError(f"device {device!r} was asked for and onnxruntime fell back to {got}; {advice}")
    return session


@dataclass(frozen=True)
class FileInput:
    """What the file takes: name, type, dimensions with None where it leaves them open."""

    name: str
    dtype: "np.dtype[Any]"
    dims: tuple[int | None, ...]


class Deployed:
    """Runs a session in the batches that the file insists on."""

    def __init__(self, why: Blame, session: onnxruntime.InferenceSession, entry: FileInput, device: str) -> None:
        self._blame = why
        self.device = device
        self._session = session
        self.input = entry
        self.batch = entry.dims[0]
        self.outputs: list[str] = [output.name for output in session.get_outputs()]
        self.provider: str = session.get_providers()[0]

    def _once(self, x: Array, names: list[str]) -> list[Any]:
        try:
            return [table(value) for value in self._session.run(names, {self.input.name: x})]
        except Exception as error:
            raise ModelError(self._blame.sentence(error)) from None

    def raw(self, x: Tensor, names: list[str]) -> list[Any]:
        """The named outputs on one batch of the size that the file wants, (b, ...) in units of the file.

        Raises: ModelError.
        """
        return self._once(self.array(x), names)

    def array(self, x: Tensor) -> Array:
        """Float tensor -> contiguous array of the file's type; integers are rounded and clipped."""
        values = x.detach().cpu().numpy()
        if self.input.dtype.kind in "iu":
            limits = np.iinfo(self.input.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return np.ascontiguousarray(values, dtype=self.input.dtype)

    def run(self, x: Tensor, names: list[str]) -> list[Tensor]:
        """The named outputs, (N, ...) each, for any N: in one call, or in padded chunks of the file's batch size.

        Raises: ModelError.
        """
        values = self.array(x)
        if self.batch is None:
            return [torch.from_numpy(np.array(answer)) for answer in self._once(values, names)]
        pieces: list[list[Array]] = [[] for _ in names]
        for start in range(0, len(values), self.batch):
            chunk = values[start : start + self.batch]
            missing = self.batch - len(chunk)
            if missing:
                chunk = np.concatenate([chunk, np.repeat(chunk[-1:], missing, axis=0)])
            for place, answer in enumerate(self._once(chunk, names)):
                pieces[place].append(self._rows(np.array(answer))[: self.batch - missing])
        return [torch.from_numpy(np.concatenate(parts)) for parts in pieces]

    def _rows(self, answer: Array) -> Array:
        """What a file of fixed batch answers, one row per sample."""
        answer = answer.reshape(1, -1) if answer.ndim == 1 and self.batch == 1 and answer.size > 1 else answer
        if not answer.ndim or len(answer) != self.batch:
            raise ModelError(
                f"{self._blame.path} answers a batch of {self.batch} with shape {answer.shape}; "
                "export it with one row of scores per sample"
            )
        return answer
