"""Whole numbers and truth values that depend on the input, each with a float stand-in that has the gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor


class Through(torch.autograd.Function):
    """The value of one tensor, which is used up, and the gradient of another of the same shape."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, shadow: Tensor) -> Tensor:
        ctx.kind = shadow.dtype
        ctx.mark_dirty(exact)
        return exact

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, gradients[0].to(ctx.kind)


def through(exact: Tensor, shadow: Tensor) -> Tensor:
    """The bits of `exact` (no gradient) with the gradient of `shadow`, which is broadcast to its shape."""
    if exact._is_view() or exact.requires_grad:
        exact = exact.detach().clone()
    return cast(Tensor, Through.apply(exact, shadow.expand(exact.shape)))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Choice:
    """Soft weights, of the shape of the tensor that was chosen from, in place of the index that was chosen."""

    weights: Tensor
    dim: int


@dataclass
class _Entry:
    exact: Tensor
    shadow: Tensor | None
    choice: Callable[[], Choice] | None = None


class Shadows:
    """The stand-ins of one forward, by the tensor they stand for; both live as long as this does."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __contains__(self, value: object) -> bool:
        return id(value) in self._entries

    def put(self, exact: Tensor, shadow: Tensor, choice: Callable[[], Choice] | None = None) -> None:
        """Let `shadow` give the gradient of `exact`, at the value of `exact`."""
        # A tensor kept alive keeps its id.
        self._entries[id(exact)] = _Entry(exact, through(_floats(exact, shadow.dtype), shadow), choice)

    def put_choice(self, index: Tensor, choice: Callable[[], Choice]) -> None:
        """Stand in for an index by soft weights, which are computed when somebody uses the index."""
        self._entries[id(index)] = _Entry(index, None, choice)

    def carry(self, source: Tensor, result: Tensor) -> None:
        """Let a reshaped index keep the weights of its source."""
        if id(source) in self._entries and id(result) in self._entries:
            self._entries[id(result)].choice = self._entries[id(source)].choice

    def choice(self, value: Tensor) -> Choice | None:
        """The soft weights behind an index."""
        entry = self._entries.get(id(value))
        return entry.choice() if entry is not None and entry.choice is not None else None

    def get(self, value: Tensor) -> Tensor | None:
        """The stand-in of a tensor, None if it has none."""
        entry = self._entries.get(id(value))
        if entry is None:
            return None
        if entry.shadow is None and entry.choice is not None:
            place = _expected_place(entry.choice(), entry.exact)
            entry.shadow = through(_floats(entry.exact, place.dtype), place)
        return entry.shadow


def _floats(exact: Tensor, kind: torch.dtype) -> Tensor:
    exact = exact.detach()
    return (exact.dequantize() if exact.is_quantized else exact).to(kind, copy=True)


def _expected_place(choice: Choice, index: Tensor) -> Tensor:
    """The mean of the places under the weights, in the shape of the index."""
    weights = choice.weights.movedim(choice.dim, -1)
    places = torch.arange(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    mean = (weights * places).sum(dim=-1)
    return mean.reshape(index.shape) if mean.numel() == index.numel() else mean.unsqueeze(choice.dim)
