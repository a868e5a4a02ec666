"""The differentiable twin: the caller's pixels -> pseudo-logits, in torch, for any batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Literal

import torch
from torch import Tensor, nn

from ...harness.straight_through import straight_through
from ..private_random import RandomState
from .entry import Entry
from .outputs import SMALLEST
from .score import Score
from .translator.interpreter import Interpreter
from .translator.pair import Pair

Strategy = Literal["direct", "vmap", "loop"]


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
        score: Score | None = None,
        features: bool = False,
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
        self.score = score
        """The rejection score, the last column of what the graph answers."""
        self.has_features = features
        """Whether the graph answers, after everything else, with what its last layer takes."""
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
        return self._logits(self.columns(x, bpda=False))

    def bpda(self, x: Tensor) -> Tensor:
        """The same values with the gradient of the operators' surrogates."""
        return self._logits(self.columns(x, bpda=True))

    def with_rejection(self, x: Tensor, *, bpda: bool) -> tuple[Tensor, Tensor]:
        """Pseudo-logits (N, K) and the excess of the rejection score (N,) from one forward.

        Raises: ValueError: there is no rejection score.
        """
        if self.score is None:
            raise ValueError("this twin has no rejection score")
        columns = self.columns(x, bpda=bpda)
        return self._logits(columns), self.score.of_twin(columns[:, -1]).to(self.answers)

    def features(self, x: Tensor, *, bpda: bool) -> Tensor:
        """What the last layer takes, (N, F), with its gradient to x (N, ...)."""
        return self.columns(x, bpda=bpda, features=True).to(self.answers)

    def columns(self, x: Tensor, *, bpda: bool, features: bool = False) -> Tensor:
        """(N, ...) in the caller's units -> (N, columns) of the graph, on the device of x."""
        values = self.entry(x.to(self.device)).to(self.dtype)
        with self._precise():
            return self.scores(values, self.strategy, bpda=bpda, features=features).to(x.device)

    def _logits(self, columns: Tensor) -> Tensor:
        scores = (columns if self.score is None else columns[:, :-1]).to(self.answers)
        if self.complement is not None:
            both = [scores, torch.zeros_like(scores)]
            scores = torch.cat(both[:: 1 if self.complement else -1], dim=1)
        return scores.clamp(min=SMALLEST).log() if self.logarithm else scores

    def _run(self, values: Tensor, bpda: bool, features: bool) -> Tensor:
        # Rounding the pixels is the first obstacle: no exact gradient passes it, so both kinds are the same.
        given = values if self.whole is None else self._given(values, self.whole)
        answers = self.graph.answers(given, bpda=bpda or self.whole is not None)
        columns = answers[-1:] if features else answers[:-1] if self.has_features else answers
        if len(columns) == 1:
            return columns[0]
        return torch.cat([answer.reshape(len(values), -1).to(self.dtype) for answer in columns], dim=1)

    def _given(self, values: Tensor, whole: torch.dtype) -> Pair:
        """What the deployed forward makes of the input: whole numbers, straight-through."""
        limits = torch.iinfo(whole)
        rounded = values.detach().round().clamp(limits.min, limits.max)
        return Pair(rounded.to(whole), straight_through(rounded, values))

    def scores(self, values: Tensor, strategy: Strategy, *, bpda: bool = False, features: bool = False) -> Tensor:
        """(N, columns) of the graph on (N, ...) in units of the file."""
        with self._state.private() if self.random else nullcontext():
            return self._scores(values, strategy, bpda, features)

    def _scores(self, values: Tensor, strategy: Strategy, bpda: bool, features: bool) -> Tensor:
        count = values.shape[0]
        if strategy == "direct":
            return self._run(values, bpda, features).reshape(count, -1)
        if strategy == "vmap":
            each: Callable[[Tensor], Tensor] = torch.func.vmap(
                lambda one: self._run(one.unsqueeze(0), bpda, features).reshape(-1),
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
            pieces.append(self._run(chunk, bpda, features).reshape(size, -1)[: size - missing])
        return torch.cat(pieces)
