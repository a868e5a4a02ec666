"""The differentiable twin: the caller's pixels -> pseudo-logits, in torch, for any batch."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from .entry import Entry
from .interpreter import Interpreter
from .node import UntranslatableError
from .outputs import SMALLEST
from .translate import first_line

Strategy = Literal["direct", "vmap", "loop"]
_AGREE = 1e-5


class TorchTwin(nn.Module):
    """(N, *shape) in the caller's units -> (N, K), differentiable, without gradients on the weights."""

    def __init__(
        self, entry: Entry, graph: Interpreter, batch: int | None, dtype: torch.dtype, logarithm: bool
    ) -> None:
        super().__init__()
        self.entry = entry
        self.graph = graph
        self.batch = batch
        self.dtype = dtype
        self.logarithm = logarithm
        self.limits: tuple[int, int] | None = None
        """Smallest and largest whole number that the file takes, None where it takes floats."""
        self.strategy: Strategy = "direct"
        self.device = torch.device("cpu")

    def place(self, device: torch.device) -> None:
        """Move the weights."""
        self.device = device
        self.graph.to(device)

    def _precise(self) -> AbstractContextManager[None]:
        # TF32 convolutions would differ from the deployed forward in the third digit
        if self.device.type != "cuda":
            return nullcontext()
        flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        return flags

    def forward(self, x: Tensor) -> Tensor:
        """Pseudo-logits in float32, on the device of x."""
        return self._answer(self.entry(x.to(self.device)), x.device)

    def on_grid(self, x: Tensor) -> Tensor:
        """The same on the whole numbers that the deployed forward rounds to, where the file takes such."""
        values = self.entry(x.to(self.device))
        if self.limits is not None:
            values = values.round().clamp(*self.limits)
        return self._answer(values, x.device)

    def _answer(self, values: Tensor, home: torch.device) -> Tensor:
        values = values.to(self.dtype)
        with self._precise():
            scores = self.scores(values, self.strategy)
        scores = scores.float().to(home)
        return scores.clamp(min=SMALLEST).log() if self.logarithm else scores

    def _run(self, values: Tensor) -> Tensor:
        scores: Tensor = self.graph(values)
        return scores

    def scores(self, values: Tensor, strategy: Strategy) -> Tensor:
        """(N, K) of the graph on (N, ...) in units of the file."""
        count = values.shape[0]
        if strategy == "direct":
            return self._run(values).reshape(count, -1)
        if strategy == "vmap":
            each: Callable[[Tensor], Tensor] = torch.func.vmap(lambda one: self._run(one.unsqueeze(0)).reshape(-1))
            return each(values)
        size = self.batch or 1
        pieces = []
        for start in range(0, count, size):
            chunk = values[start : start + size]
            missing = size - chunk.shape[0]
            if missing:
                chunk = torch.cat([chunk, chunk[-1:].expand(missing, *chunk.shape[1:])])
            pieces.append(self._run(chunk).reshape(size, -1)[: size - missing])
        return torch.cat(pieces)


def _agrees(found: Tensor, reference: Tensor) -> bool:
    if found.shape != reference.shape:
        return False
    scale = float(reference.abs().nan_to_num(0.0).max()) if reference.numel() else 0.0
    return torch.allclose(found, reference, rtol=0.0, atol=_AGREE * max(scale, 1.0), equal_nan=True)


@torch.no_grad()
def choose_strategy(twin: TorchTwin, x: Tensor) -> int:
    """Run the twin on samples one file batch after the other, then in the fastest way that gives the same; returns K.

    Raises: UntranslatableError.
    """
    values = twin.entry(x.to(twin.device)).to(twin.dtype)
    try:
        reference = twin.scores(values, "loop")
    except UntranslatableError:
        raise
    except Exception as error:
        raise UntranslatableError(f"the twin failed: {first_line(error)}") from error
    # A larger fixed batch may be written into a Reshape, which a few samples cannot tell: those stay in the loop.
    options: tuple[Strategy, ...] = ("direct", "vmap") if twin.batch in (None, 1) else ()
    twin.strategy = "loop"
    for option in options:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = twin.scores(values, option)
        except Exception:
            # a graph that insists on batch 1 fails in many ways; the next strategy is tried
            continue
        if _agrees(found, reference):
            twin.strategy = option
            break
    return int(reference.shape[1])
