"""The worst cases found, as arrays that a replay can load."""

import io
from pathlib import Path

import numpy as np

from ..harness.results import Result
from .atomic import write_atomic


def write_adversarial(result: Result, folder: Path) -> Path:
    """Write adversarial.npz: `x` (N, ...) as replayed, in units of the bounds, `y`, `ids` and `broken` (N,).

    Raises:
        UnfinishedError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        x=np.asarray(result.adversarial),
        y=np.array([sample.label for sample in result.samples]),
        ids=np.array([sample.id for sample in result.samples]),
        broken=np.array([sample.outcome == "broken" for sample in result.samples]),
    )
    return write_atomic(folder / "adversarial.npz", buffer.getvalue())
