"""From the caller's pixels to the numbers that the file expects; the same torch arithmetic for both forwards."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...harness.errors import ModelError

Layout = Literal["nchw", "nhwc"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Affine:
    """x -> (x - shift) * scale per step; steps that change nothing are not there."""

    subtract: Tensor | None = None
    factor: Tensor | None = None
    divide: Tensor | None = None
    add: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.subtract is not None:
            x = x - self.subtract.to(x.device)
        if self.factor is not None:
            x = x * self.factor.to(x.device)
        if self.divide is not None:
            x = x / self.divide.to(x.device)
        if self.add is not None:
            x = x + self.add.to(x.device)
        return x


def _scalar(value: float, neutral: float) -> Tensor | None:
    return None if value == neutral else torch.tensor(value, dtype=torch.float32)


def between(source: Range, target: Range) -> Affine:
    """The affine map from one range onto another, empty when they are equal."""
    if source == target:
        return Affine()
    factor = (target[1] - target[0]) / (source[1] - source[0])
    return Affine(subtract=_scalar(source[0], 0.0), factor=_scalar(factor, 1.0), add=_scalar(target[0], 0.0))


def _per_channel(path: Path, values: tuple[float, ...], shape: tuple[int | None, ...]) -> Tensor:
    """(C, 1, 1) or (1, 1, C), whichever fits the sample.

    Raises: ModelError.
    """
    tensor = torch.tensor(values, dtype=torch.float32)
    if len(values) == 1:
        return tensor.reshape(())
    if len(shape) > 1 and shape[0] == len(values):
        return tensor.reshape(-1, *([1] * (len(shape) - 1)))
    if shape and shape[-1] == len(values):
        return tensor
    raise ModelError(f"{path} takes samples of shape {shape}, to which {len(values)} values of mean or std do not fit")


@dataclass(frozen=True)
class Entry:
    """Checks the caller's shape, maps the range, normalises and orders the dimensions."""

    path: Path
    shape: tuple[int | None, ...]
    """Sample shape as callers see it; None where the file leaves a dimension open."""
    permute: bool
    """Whether the file wants channels last while callers give them first."""
    range: Affine
    normalise: Affine

    @property
    def flat(self) -> bool:
        """Whether the sample is a vector with dimensions of size 1 around it."""
        return None not in self.shape and sum(size != 1 for size in self.shape) <= 1

    def check(self, x: Tensor) -> Tensor:
        """x with the shape that callers see, (N, *shape).

        Raises: ModelError.
        """
        found = tuple(x.shape[1:])
        fits = len(found) == len(self.shape) and all(
            want is None or want == size for want, size in zip(self.shape, found, strict=True)
        )
        if x.dim() and fits:
            return x
        if x.dim() > 1 and self.flat and math.prod(found) == math.prod(size or 1 for size in self.shape):
            return x.reshape(x.shape[0], *(size or 1 for size in self.shape))
        wanted = ", ".join("?" if size is None else str(size) for size in self.shape)
        raise ModelError(f"{self.path} takes (N, {wanted}) and was given {tuple(x.shape)}; reshape the samples")

    def __call__(self, x: Tensor) -> Tensor:
        """Float32 or float64 (N, ...) in the caller's units -> (N, ...) in units and layout of the file."""
        x = self.normalise(self.range(self.check(x if x.dtype == torch.float64 else x.float())))
        return x.permute(0, 2, 3, 1) if self.permute else x


def _nhwc(dims: tuple[int | None, ...]) -> bool:
    return len(dims) == 3 and dims[2] in (1, 3, 4) and dims[0] not in (1, 3, 4) and dims[1] != 1


def make_entry(
    path: Path,
    dims: tuple[int | None, ...],
    bounds: Range,
    target: Range | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    layout: Layout | None,
) -> tuple[Entry, tuple[str, ...]]:
    """The entry for a file that takes samples of shape `dims`, and what to tell about it.

    Raises: ModelError.
    """
    if layout == "nhwc" and len(dims) != 3:
        raise ModelError(
            f"{path} takes samples with {len(dims)} dimensions, so layout nhwc does not apply; leave it out"
        )
    permute = layout == "nhwc" or (layout is None and _nhwc(dims))
    shape = (dims[2], dims[0], dims[1]) if permute else dims
    notes = ["the file wants channels last (NHWC); callers give NCHW"] if permute else []
    if mean is None and std is None:
        scale = between(bounds, target or bounds)
        if target is not None and target != bounds:
            notes.append(f"pixels are mapped from {list(bounds)} to {list(target)} in front of the file")
        return Entry(path, shape, permute, scale, Affine()), tuple(notes)
    normalise = Affine(
        subtract=None if mean is None or not any(mean) else _per_channel(path, mean, shape),
        divide=None if std is None or set(std) == {1.0} else _per_channel(path, std, shape),
    )
    notes.append("pixels are normalised by mean and std in front of the file")
    return Entry(path, shape, permute, between(bounds, (0.0, 1.0)), normalise), tuple(notes)
