"""Randomness as data: a stateless stream keyed by (seed, name, sample id, step).

A draw depends on its key alone, so outcomes do not depend on batch size, batch order, device or a resume, and
torch's global generator is neither read nor moved.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (the SplitMix64 finaliser).
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_A = _signed(0xBF58476D1CE4E5B9)
_MIX_B = _signed(0x94D049BB133111EB)


def _mix_(z: Tensor) -> Tensor:
    """Scramble int64 words in place; the masks make torch's arithmetic shifts logical ones."""
    z ^= (z >> 30).bitwise_and_((1 << 34) - 1)
    z *= _MIX_A
    z ^= (z >> 27).bitwise_and_((1 << 37) - 1)
    z *= _MIX_B
    z ^= (z >> 31).bitwise_and_((1 << 33) - 1)
    return z


def _word(text: str) -> int:
    return _signed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))


@dataclass(frozen=True)
class Stream:
    """One random stream per sample; `keys` is (N,) int64 on the device of the samples."""

    keys: Tensor

    @classmethod
    def create(cls, seed: int, name: str, ids: Tensor) -> Self:
        """Streams for the samples `ids` (N,), independent for every seed and name."""
        keys = ids.to(torch.int64) * _GOLDEN + _word(f"{seed}/{name}")
        return cls(_mix_(keys))

    def select(self, index: Tensor) -> "Stream":
        """The streams of the samples at `index` (a boolean mask or positions)."""
        return Stream(self.keys[index])

    def child(self, name: str) -> "Stream":
        """Streams of the same samples, independent of these."""
        return Stream(_mix_(self.keys + _word(name)))

    def fold(self, n: int) -> "Stream":
        """n independent streams per sample, sample-major: (N * n,)."""
        copies = torch.arange(n, dtype=torch.int64, device=self.keys.device) * _GOLDEN
        return Stream(_mix_((self.keys[:, None] + copies[None, :] + _word("fold")).reshape(-1)))

    def _bits(self, step: int, count: int) -> Tensor:
        start = _mix_(self.keys ^ _word(f"step/{step}"))
        counter = torch.arange(1, count + 1, dtype=torch.int64, device=self.keys.device).mul_(_GOLDEN)
        return _mix_(start[:, None] + counter[None, :])

    def uniform(self, step: int, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform draws in [low, high), (N, *shape) float32, on a grid of 2^24 values."""
        bits = self._bits(step, math.prod(shape)).bitwise_right_shift_(40)
        unit = bits.to(torch.float32).add_(2.0**23).mul_(2.0**-24)
        return unit.mul_(high - low).add_(low).reshape(-1, *shape)

    def normal(self, step: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal draws, (N, *shape) float32 (Box-Muller)."""
        count = math.prod(shape)
        bits = self._bits(step, (count + 1) // 2)
        first = (bits >> 40).to(torch.float32).add_(2.0**23).add_(0.5).mul_(2.0**-24)
        second = (bits & 0xFFFFFF).to(torch.float32).mul_(2 * math.pi * 2.0**-24)
        radius = first.clamp_(max=1.0).log_().mul_(-2.0).sqrt_()
        both = torch.cat([radius * second.cos(), radius * second.sin()], dim=1)
        return both[:, :count].reshape(-1, *shape)

    def signs(self, step: int, shape: tuple[int, ...]) -> Tensor:
        """Fair signs, -1.0 or +1.0, (N, *shape) float32."""
        bits = self._bits(step, math.prod(shape))
        return (bits < 0).to(torch.float32).mul_(2.0).sub_(1.0).reshape(-1, *shape)

    def integers(self, step: int, shape: tuple[int, ...], high: Tensor | int) -> Tensor:
        """Integers in [0, high), (N, *shape) int64; `high` broadcasts against that shape."""
        unit = self.uniform(step, shape).to(torch.float64)
        return (unit * high).floor().to(torch.int64)
