"""The handwritten digits that come with scikit-learn: 1797 images of 8 x 8 pixels."""

from typing import Any, Literal

import numpy as np

from ...harness.errors import UsageError
from .arrays import from_arrays
from .samples import Samples, Wanted

Split = Literal["train", "test"]

TEST_SAMPLES = 540
CLASS_NAMES = tuple(map(str, range(10)))


def digits(split: Split = "test") -> tuple[Any, Any]:
    """Arrays x (N, 1, 8, 8), float32 in [0, 1], and y (N,), int64: 540 test or 1257 training images.

    The test images lie evenly in the data set sorted by class, which needs no random numbers and keeps the classes'
    shares.

    Raises:
        UsageError: the split is unknown.
    """
    if split not in ("train", "test"):
        raise UsageError(f"digits has no split {split!r}: use test or train")
    x, y = _all()
    keep = _positions(y, split)
    return x[keep], y[keep]


def load_digits(wanted: Wanted) -> Samples:
    """The samples of the wanted split."""
    x, y = digits("train" if wanted.split == "train" else _test(wanted.split))
    return from_arrays(x, y, name="digits", wanted=wanted, class_names=CLASS_NAMES)


def _test(split: str) -> Split:
    if split != "test":
        raise UsageError(f"digits has no split {split!r}: use test or train")
    return "test"


def _all() -> tuple[Any, Any]:
    import sklearn.datasets

    bunch = sklearn.datasets.load_digits()
    x = (bunch.images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return x, bunch.target.astype(np.int64)


def _positions(y: Any, split: Split) -> Any:
    by_class = np.argsort(y, kind="stable")
    steps = np.arange(len(y) + 1) * TEST_SAMPLES // len(y)
    in_test = steps[1:] > steps[:-1]
    return np.sort(by_class[in_test if split == "test" else ~in_test])
