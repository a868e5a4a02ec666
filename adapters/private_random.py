"""Torch's random state, kept apart for a module that draws numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class RandomState:
    """A generator state of its own for the module, so that torch's global one is neither moved nor read."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        on_cuda = None if self._cuda is None else torch.Generator(device=self._cuda).manual_seed(0).get_state()
        self.state: tuple[Tensor, Tensor | None] = (torch.Generator().manual_seed(0).get_state(), on_cuda)

    @contextmanager
    def private(self) -> Iterator[None]:
        """Swap the private state in, and out again, wherever it has advanced to."""
        before = self._current()
        self._set(self.state)
        try:
            yield
        finally:
            self.state = self._current()
            self._set(before)

    def _current(self) -> tuple[Tensor, Tensor | None]:
        return torch.get_rng_state(), None if self._cuda is None else torch.cuda.get_rng_state(self._cuda)

    def _set(self, state: tuple[Tensor, Tensor | None]) -> None:
        torch.set_rng_state(state[0])
        if self._cuda is not None and state[1] is not None:
            torch.cuda.set_rng_state(state[1], self._cuda)
