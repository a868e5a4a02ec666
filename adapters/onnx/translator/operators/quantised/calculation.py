"""Sums of whole numbers and roundings, exactly as they are or smoothly for the backward pass."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...node import Node
from ..conv import conv
from ..obstacle import QUANTISES, Obstacle
from ..values import Operator, together
from .levels import Levels, of_dtype

_EXACT_IN_FLOAT32 = 1 << 24


def _reach(x: Tensor, zero: Tensor | None) -> int:
    """The greatest distance of a number of this type from its zero point."""
    at = of_dtype(x.dtype)
    return at.high - at.low if zero is not None else max(at.high, -at.low)


@dataclass(frozen=True)
class Calculation:
    """How an operator calculates: whole numbers bit for bit, or floats without a rounding that hides the gradient."""

    exact: bool

    def centred(self, node: Node, x: Tensor, zero: Tensor | None) -> Tensor:
        """x minus its zero point as floats; exact up to 16 bits."""
        x = x.to(node.precision)
        return x if zero is None else x - zero.to(x.device, node.precision)

    def _accumulator(self, node: Node, largest: float, device: torch.device) -> torch.dtype:
        """A float type in which sums up to this size are exact, in whatever order they are taken."""
        # other processors and builds may convolve through transforms whose float32 is not exact on whole numbers
        plain = device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return node.precision if not self.exact or (plain and largest < _EXACT_IN_FLOAT32) else torch.float64

    def matmul(self, node: Node, a: Tensor, a_zero: Tensor | None, b: Tensor, b_zero: Tensor | None) -> Tensor:
        """Matrix product of centred numbers; zero points broadcast against their factors."""
        a, b = together(a, b)
        dtype = self._accumulator(node, a.shape[-1] * _reach(a, a_zero) * _reach(b, b_zero), a.device)
        return torch.matmul(self.centred(node, a, a_zero).to(dtype), self.centred(node, b, b_zero).to(dtype))

    def conv(self, node: Node, x: Tensor, x_zero: Tensor | None, w: Tensor, w_zero: Tensor | None) -> Tensor:
        """Convolution of centred numbers: the padding is the zero point of x."""
        x, w = together(x, w)
        weight, largest = self.centred(node, w, w_zero), math.inf
        if self.exact and w.device.type == "cpu":
            largest = float(weight.abs().flatten(1).sum(1, dtype=torch.float64).amax()) * _reach(x, x_zero)
        dtype = self._accumulator(node, largest, x.device)
        y = conv(node, self.centred(node, x, x_zero).to(dtype), weight.to(dtype))
        return torch.round(y) if self.exact else y

    def int32(self, value: Tensor) -> Tensor:
        """Whole numbers as int32, wrapping around as machine integers do; floats for the backward pass."""
        return value.to(torch.int64).to(torch.int32) if self.exact else value

    def total(self, node: Node, value: Tensor, bias: Tensor | None) -> Tensor:
        """A sum of products plus an int32 bias, rounded once to the precision."""
        if bias is not None:
            value = value.to(torch.float64) + bias.to(value.device, torch.float64)
        return value.to(node.precision)

    def settled(self, value: Tensor, at: Levels, zero: Tensor | None = None) -> Tensor:
        """The nearest level, ties to even before the zero point is added; clipped but not rounded when smooth."""
        if not self.exact:
            value = value if zero is None else value + zero
            return torch.clamp(value, at.low, at.high)
        if zero is None:
            return torch.clamp(torch.round(value), at.low, at.high).to(at.dtype)
        return (torch.round(torch.clamp(value, at.low - zero, at.high - zero)) + zero).to(at.dtype)

    def offset(self, node: Node, zero: Tensor | None, like: Tensor) -> Tensor:
        """A zero point as a float on the device of the data; none given is zero."""
        if zero is None:
            return torch.zeros((), dtype=node.precision, device=like.device)
        zero = zero.detach().to(like.device, node.precision)
        return zero.reshape(()) if zero.numel() == 1 else zero


def quantising(forward: Callable[..., Tensor | tuple[Tensor, ...]]) -> Obstacle:
    """The obstacle of an operator written as `(calculation, node, *inputs)`."""
    exact: Operator = partial(forward, Calculation(exact=True))
    return Obstacle(exact, QUANTISES, partial(forward, Calculation(exact=False)))
