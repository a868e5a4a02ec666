"""Labelled samples, and the checks that every source of them goes through."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ...harness.errors import DataError
from ..preprocessing import Layout, Range


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


def chosen(count: int, wanted: Wanted) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Which of `count` samples are used: all, or the first ones of a seeded permutation, in ascending order."""
    if wanted.samples is None or wanted.samples >= count:
        return np.arange(count, dtype=np.int64)
    order = np.random.default_rng(wanted.seed).permutation(count)
    return np.sort(order[: wanted.samples]).astype(np.int64)


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
