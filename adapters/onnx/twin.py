"""The differentiable twin: the caller's pixels -> pseudo-logits, in torch, for any batch."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Literal

import torch
from torch import Tensor, nn

from ...harness.gradients.straight_through import straight_through
from ..private_random import RandomState
from .drawn import apart, sampled
from .entry import Entry
from .outputs import SMALLEST
from .translator.interpreter import Interpreter
from .translator.node import UntranslatableError
from .translator.pair import Pair
from .translator.translate import first_line

Strategy = Literal["direct", "vmap", "loop"]
_AGREE = 1e-5


class TorchTwin(nn.Module):
    """(N, *shape) in the caller's units -> (N, K), differentiable, without gradients on the weights."""

    def __init__(
        self,
        entry: Entry,
        graph: Interpreter,
        batch: int | None,
        *,
        dtype: torch.dtype,
        whole: torch.dtype | None = None,
        logarithm: bool = False,
        complement: int | None = None,
        one_by_one: bool = False,
    ) -> None:
        super().__init__()
        self.entry = entry
        self.graph = graph
        self.batch = batch
        self.dtype = dtype
        self.logarithm = logarithm
        self.complement = complement
        """Of two columns, the one that the graph leaves out because its probability is one minus the other's."""
        self.answers = torch.float32
        """The type of the scores."""
        self.whole = whole
        """The type of the file's input where that takes whole numbers."""
        self.random = graph.random
        """Whether the graph draws: each forward has draws of its own, and torch's global generator stays as it is."""
        self.one_by_one = one_by_one
        """Whether a sample may decide what the graph runs, so that no two can be run together."""
        self._state = RandomState(torch.device("cpu"))
        self.strategy: Strategy = "direct"
        self.device = torch.device("cpu")

    def doubled(self) -> "TorchTwin":
        """The same twin in float64, for gradient checks."""
        twin = copy(self)
        twin._modules = dict(self._modules)
        twin.graph = self.graph.doubled().to(self.device).eval()
        twin.dtype = twin.answers = torch.float64
        twin._state = RandomState(self.device)
        # the identity stands in for the rounding of whole inputs, and it is the identity that can be checked
        twin.whole = None
        return twin

    def place(self, device: torch.device) -> None:
        """Move the weights."""
        self.device = device
        self._state = RandomState(device)
        # channels last is for the CPU: without TF32 it has not been shown to pay elsewhere
        self.graph.to(device)
        if device.type != "cpu":
            for weight in self.graph.buffers():
                weight.data = weight.data.contiguous()

    def _precise(self) -> AbstractContextManager[None]:
        # TF32 convolutions would differ from the deployed forward in the third digit
        if self.device.type != "cuda":
            return nullcontext()
        flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        return flags

    def forward(self, x: Tensor) -> Tensor:
        """Pseudo-logits in float32, on the device of x, with the exact gradient."""
        return self._answer(self.entry(x.to(self.device)), x.device, bpda=False)

    def bpda(self, x: Tensor) -> Tensor:
        """The same values with the gradient of the operators' surrogates."""
        return self._answer(self.entry(x.to(self.device)), x.device, bpda=True)

    def _answer(self, values: Tensor, home: torch.device, *, bpda: bool) -> Tensor:
        values = values.to(self.dtype)
        with self._precise():
            scores = self.scores(values, self.strategy, bpda=bpda)
        scores = scores.to(device=home, dtype=self.answers)
        if self.complement is not None:
            columns = [scores, torch.zeros_like(scores)]
            scores = torch.cat(columns[:: 1 if self.complement else -1], dim=1)
        return scores.clamp(min=SMALLEST).log() if self.logarithm else scores

    def _run(self, values: Tensor, bpda: bool) -> Tensor:
        if self.whole is None:
            scores: Tensor = self.graph(values, bpda=bpda)
        else:
            # Rounding the pixels is the first obstacle: no exact gradient passes it, so both kinds are the same.
            scores = self.graph(self._given(values, self.whole), bpda=True)
        return scores

    def _given(self, values: Tensor, whole: torch.dtype) -> Pair:
        """What the deployed forward makes of the input: whole numbers, straight-through."""
        limits = torch.iinfo(whole)
        rounded = values.detach().round().clamp(limits.min, limits.max)
        return Pair(rounded.to(whole), straight_through(rounded, values))

    def scores(self, values: Tensor, strategy: Strategy, *, bpda: bool = False) -> Tensor:
        """(N, K) of the graph on (N, ...) in units of the file."""
        with self._state.private() if self.random else nullcontext():
            return self._scores(values, strategy, bpda)

    def _scores(self, values: Tensor, strategy: Strategy, bpda: bool) -> Tensor:
        count = values.shape[0]
        if strategy == "direct":
            return self._run(values, bpda).reshape(count, -1)
        if strategy == "vmap":
            each: Callable[[Tensor], Tensor] = torch.func.vmap(
                lambda one: self._run(one.unsqueeze(0), bpda).reshape(-1),
                randomness="different" if self.random else "error",
            )
            return each(values)
        size = self.batch or 1
        pieces = []
        for start in range(0, count, size):
            chunk = values[start : start + size]
            missing = size - chunk.shape[0]
            if missing:
                chunk = torch.cat([chunk, chunk[-1:].expand(missing, *chunk.shape[1:])])
            pieces.append(self._run(chunk, bpda).reshape(size, -1)[: size - missing])
        return torch.cat(pieces)


def _options(twin: TorchTwin) -> tuple[Strategy, ...]:
    """Ways to run several samples at once that are worth trying, the fastest first."""
    # A larger fixed batch may be written into a Reshape, which a few samples cannot tell: those stay in the loop.
    if twin.batch not in (None, 1) or twin.one_by_one:
        return ()
    # under vmap every sample has draws of its own, as if it were alone
    return ("vmap",) if twin.graph.shared_draws else ("direct", "vmap")


def _answers(twin: TorchTwin, values: Tensor, strategy: Strategy) -> Tensor:
    """(N, K), or (draws, N, K) of a graph that draws."""
    return sampled(lambda: twin.scores(values, strategy)) if twin.random else twin.scores(values, strategy)


def _agrees(found: Tensor, reference: Tensor, random: bool) -> bool:
    if found.shape != reference.shape:
        return False
    scale = float(reference.abs().nan_to_num(0.0).max()) if reference.numel() else 0.0
    if random:
        return apart(found, reference) <= _AGREE * max(scale, 1.0)
    return torch.allclose(found, reference, rtol=0.0, atol=_AGREE * max(scale, 1.0), equal_nan=True)


@torch.no_grad()
def choose_strategy(twin: TorchTwin, x: Tensor) -> int:
    """Run the twin on samples one file batch after the other, then in the fastest way that gives the same; returns K.

    Raises: UntranslatableError.
    """
    values = twin.entry(x.to(twin.device)).to(twin.dtype)
    try:
        reference = _answers(twin, values, "loop")
    except UntranslatableError:
        raise
    except Exception as error:
        raise UntranslatableError(f"the twin failed: {first_line(error)}") from error
    twin.strategy = "loop"
    for option in _options(twin):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = _answers(twin, values, option)
        except Exception:
            # a graph that insists on batch 1 fails in many ways; the next strategy is tried
            continue
        if _agrees(found, reference, twin.random):
            twin.strategy = option
            break
    return int(reference.shape[-1])
