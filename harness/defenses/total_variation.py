"""Total variation minimisation at inference.

Source: Guo et al. 2018, "Countering adversarial images using input transformations", section 3.1 (keep 0.5, weight
0.03). They solve with a split Bregman method; here a fixed number of descent steps on the smoothed, squared objective
make the result a differentiable function of the pixels.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ..randomness import Stream
from ..stage import Surrogate
from .spec import FrontStage

_SMOOTH = 1e-2
"""Differences below this are penalised by their squares: rows that are equal have no direction otherwise."""
_FAR = 1e-3
"""How much the mean of all kept pixels counts beside one kept neighbour, in the first guess of a dropped pixel."""


class TotalVariation(FrontStage):
    """Drop random pixels and rebuild the image of least total variation from the others."""

    defense: Literal["total-variation"] = "total-variation"
    keep: float = Field(0.5, gt=0, lt=1, description="chance of every pixel to be kept")
    weight: float = Field(0.03, gt=0, le=100, description="weight of the total variation against the kept pixels")
    steps: int = Field(30, ge=1, le=10_000, description="descent steps")

    random: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate(
        "identity", "on the mean over its random masks the image comes out close to how it went in"
    )

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1]; every channel of every pixel is kept or dropped by itself."""
        return self._rebuilt(self.images(x).detach(), self._kept(x, stream), self.steps)

    def unrolled(self, x: Tensor, stream: Stream, last: int | None) -> Tensor:
        """`forward` with a gradient through its steps, which need no stand-in: the objective is smooth."""
        kept = self._kept(self.images(x), stream)
        if last is None or last >= self.steps:
            return self._rebuilt(x, kept, self.steps)
        z = self._rebuilt(x.detach(), kept, self.steps - last) + (x - x.detach())
        for _ in range(last):
            z = self._descended(z, x, kept)
        return z

    def objective(self, z: Tensor, x: Tensor, stream: Stream) -> Tensor:
        """What the steps make smaller, (N,): squared distance on the kept pixels and weighted total variation of z.

        The total variation of a channel is the sum of the 2-norms of differences between rows next to each other, and
        between columns.
        """
        distance = (self._kept(x, stream) * (z - x)).square().flatten(1).sum(dim=1)
        rows, columns = (_norm(z.diff(dim=axis), across=5 - axis).flatten(1).sum(dim=1) for axis in (2, 3))
        return distance + self.weight * (rows + columns)

    def _kept(self, x: Tensor, stream: Stream) -> Tensor:
        return (stream.uniform(0, tuple(x.shape[1:])) < self.keep).to(x.dtype)

    def _rebuilt(self, x: Tensor, kept: Tensor, steps: int) -> Tensor:
        z = _guess(x, kept)
        for _ in range(steps):
            z = self._descended(z, x, kept)
        return z

    def _descended(self, z: Tensor, x: Tensor, kept: Tensor) -> Tensor:
        """One step that cannot increase the objective: its gradient over the diagonal of a quadratic that bounds it.

        Every pixel moves to a mean of itself, its neighbours and its original, so none leaves [0, 1].
        """
        gradient, bound = 2 * kept * (z - x), 2 * kept
        for axis in (2, 3):
            difference = z.diff(dim=axis)
            pull = self.weight / _norm(difference, across=5 - axis)
            force = pull * difference
            gradient = gradient + _shifted(force, axis, 1) - _shifted(force, axis, 0)
            bound = bound + 2 * (_shifted(pull, axis, 1) + _shifted(pull, axis, 0))
        return z - gradient / bound.clamp(min=torch.finfo(z.dtype).tiny)


def _norm(difference: Tensor, across: int) -> Tensor:
    return (difference.square().sum(dim=across, keepdim=True) + _SMOOTH**2).sqrt()


def _shifted(values: Tensor, axis: int, before: int) -> Tensor:
    """One row (axis 2) or column (axis 3) of zeros more, before or behind."""
    padding = [before, 1 - before]
    return functional.pad(values, [0, 0, *padding] if axis == 2 else padding)


def _guess(x: Tensor, kept: Tensor) -> Tensor:
    """Kept pixels as they are, dropped ones from those around them: nothing of a dropped pixel comes through."""
    known = kept * x
    mean = (known.sum(dim=(2, 3), keepdim=True) + _FAR * 0.5) / (kept.sum(dim=(2, 3), keepdim=True) + _FAR)
    around, count = (functional.avg_pool2d(part, 3, stride=1, padding=1) for part in (known, kept))
    return known + (1 - kept) * (around + _FAR * mean) / (count + _FAR)
