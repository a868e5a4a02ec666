"""Labelled samples, and the checks that every source of them goes through."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from ...harness.errors import DataError
from ..preprocessing import Layout, Range

MOST_HELD_OUT = 1000
"""Further samples that are taken where nobody says how many."""


@dataclass(frozen=True)
class Samples:
    """Samples x (N, C, H, W) or (N, D), float32 in [0, 1], with their labels y (N,), int64."""

    x: Tensor
    y: Tensor
    name: str
    sha256: str
    """Over the bytes of x and y."""
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    ids: Tensor
    """The positions of the samples in their source, int64 (N,)."""

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Wanted:
    """What the caller asked of a source; see `load_data`."""

    samples: int | None = None
    seed: int = 0
    shape: tuple[int, ...] | None = None
    layout: Layout | None = None
    value_range: Range | None = None
    split: str = "test"
    resize: tuple[int, int] | None = None
    classes: int | None = None
    held_out: int | None = None
    """How many further samples have to remain; None: as many as there are, up to `MOST_HELD_OUT`."""
    further: bool = False
    """The further samples are wanted and not the first ones."""

    def every(self) -> "Wanted":
        """The same of all samples that there are, for a source that has chosen already."""
        return replace(self, samples=None, held_out=None, further=False)


class NothingLeftError(DataError):
    """All samples are among the first ones."""


def chosen(count: int, wanted: Wanted) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Which of `count` samples are used, in ascending order: all, or the first ones of a seeded permutation.

    The further samples are the next ones of the same permutation, so that the two sets never meet.

    Raises:
        DataError: fewer remain than have to.
    """
    first = _first(count, wanted)
    if first >= count and not wanted.further:
        return np.arange(count, dtype=np.int64)
    order = np.random.default_rng(wanted.seed).permutation(count)
    most = MOST_HELD_OUT if wanted.held_out is None else wanted.held_out
    part = order[first : first + most] if wanted.further else order[:first]
    if len(part) == 0:
        raise NothingLeftError(f"all {count} samples are used")
    return np.sort(part).astype(np.int64)


def _first(count: int, wanted: Wanted) -> int:
    """How many of the samples are the first ones."""
    first = count if wanted.samples is None else min(wanted.samples, count)
    if not wanted.held_out:
        return first
    if wanted.held_out >= count:
        raise DataError(
            f"the data set has {count} samples: --held-out {wanted.held_out} leaves none to evaluate, so ask for fewer"
        )
    return min(first, count - wanted.held_out)


def finished(
    x: Tensor, y: Tensor, ids: Tensor, *, name: str, class_names: tuple[str, ...], notes: list[str], wanted: Wanted
) -> Samples:
    """The samples, after the checks against the model."""
    if wanted.shape is not None:
        check_shape(x, wanted.shape)
    check_labels(y, wanted.classes, ids=ids)
    digest = hashlib.sha256(x.contiguous().numpy().tobytes())
    digest.update(y.contiguous().numpy().tobytes())
    return Samples(x=x, y=y, name=name, sha256=digest.hexdigest(), class_names=class_names, notes=tuple(notes), ids=ids)


def check_labels(y: Tensor, classes: int | None, *, ids: Tensor | None = None) -> None:
    """Do nothing if all labels (N,) are in 0 .. classes - 1; without `classes`, if none is negative.

    Raises:
        DataError: one is not; the text names the first.
    """
    bad = y < 0 if classes is None else (y < 0) | (y >= classes)
    if not bool(bad.any()):
        return
    first = int(bad.nonzero()[0])
    where = first if ids is None else int(ids[first])
    label = int(y[first])
    if label < 0 or classes is None:
        raise DataError(f"sample {where} has the label {label}: labels count from 0")
    hint = "; labels count from 0" if label == classes else ""
    raise DataError(
        f"sample {where} has the label {label}, but the model has {classes} classes: check the labels{hint}"
    )


def check_shape(x: Tensor, shape: tuple[int, ...]) -> None:
    """Do nothing if the samples (N, ...) have the model's input shape; sizes below 1 in it stand for any.

    Raises:
        DataError: they have another.
    """
    own = tuple(x.shape[1:])
    if len(own) != len(shape) or any(size > 0 and size != mine for size, mine in zip(shape, own, strict=True)):
        raise DataError(
            f"the samples are {own} each, but the model takes {tuple(shape)}: check --layout, --resize or the data set"
        )
