"""A module's forward with stand-ins, checked once before it is used."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

from torch import Tensor, nn

from ...private_random import RandomState
from .check import Verdict, judge
from .eager import eagerly, is_compiled
from .mode import Surrogates
from .parts import closed_parts
from .run import Run

SAMPLES = 2
"""Enough to compare two forwards on, and few enough to cost nothing."""

_COMPILED = 1e-4
"""How far a compiled module may be from itself uncompiled, relative to the largest logit."""

Around = Callable[[Tensor], AbstractContextManager[Any]]
"""What a module runs in, given the tensor that it is called with."""


class SoftForward:
    """Called with x (N, ...): the module's own answer with the gradient of stand-ins, or else with the exact one.

    Which of the two is settled once: a module that fails with stand-ins after the check raises ModelError, because
    another gradient than the one that was asked for would look like an attack that found nothing.

    Args:
        forward: the module's forward on a batch, run inside of what is given.
        random: where it takes its random numbers from.
        tell: takes the notes for people.
    """

    def __init__(
        self,
        module: nn.Module,
        forward: Callable[..., Tensor],
        *,
        random: RandomState,
        tell: Callable[..., None],
    ) -> None:
        self._module, self._forward, self._random, self._tell = module, forward, random, tell
        self._verdict: Verdict | None = None

    def offered(self, sample: Tensor | None) -> bool:
        """Whether this gives a gradient that the plain forward may lack; without a sample (N, ...) it is hoped so."""
        if sample is not None:
            self._judge(sample)
        return self._verdict is None or (self._verdict.usable and self._verdict.alive)

    def __call__(self, x: Tensor) -> Tensor:
        """The answer, (N, K)."""
        if len(x):
            self._judge(x[:SAMPLES])
        if self._verdict is not None and not self._verdict.usable:
            return self._forward(x)
        answer, run = self._soft(x)
        self._tell(*run.notes())
        return answer

    def _soft(self, x: Tensor) -> tuple[Tensor, Run]:
        mode = Surrogates(lambda: chain(self._module.parameters(), self._module.buffers()))
        with eagerly(self._module):
            return self._forward(x, lambda _: mode), mode.run

    def _judge(self, x: Tensor) -> None:
        """Once, and without moving the random numbers on."""
        if self._verdict is not None:
            return
        before = self._random.state

        def plain(x: Tensor) -> Tensor:
            self._random.state = before
            return self._forward(x)

        def soft(x: Tensor) -> tuple[Tensor, Run]:
            self._random.state = before
            return self._soft(x)

        try:
            self._verdict = judge(plain, soft, x, tolerance=_COMPILED if is_compiled(self._module) else 0.0)
        finally:
            self._random.state = before
        closed = [f"no surrogate inside of a {kind}, which is compiled" for kind in closed_parts(self._module)]
        self._tell(*closed, *self._verdict.notes)
