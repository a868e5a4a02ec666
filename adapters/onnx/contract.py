"""What a file can only tell by running: sizes that it leaves open, its scores, its batch."""

import numpy as np
import torch
from torch import Tensor

from ...harness.errors import ModelError
from .entry import Entry, Range
from .outputs import Answer, as_matrix, choose, kind_of
from .session import Deployed

SAMPLES = 4
_SIZES = (32, 28, 64, 224)
"""Tried in this order where the file leaves height and width open."""
_AGREE = 1e-4


def candidate_shapes(dims: tuple[int | None, ...]) -> list[tuple[int, ...]]:
    """Shapes with every open dimension filled in, one per size worth trying; the batch becomes 1."""
    batch = dims[0] or 1
    filled = [(batch, *(size if dim is None else dim for dim in dims[1:])) for size in _SIZES]
    return filled if None in dims[1:] else filled[:1]


def _random(shape: tuple[int, ...], bounds: Range) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(shape, generator=generator)


def _one_batch(deployed: Deployed, x: Tensor) -> Tensor:
    """As many samples as the file insists on."""
    batch = deployed.batch or 1
    return x[torch.arange(batch) % len(x)]


def settle_shape(deployed: Deployed, entry: Entry, bounds: Range) -> tuple[Tensor, tuple[str, ...]]:
    """Random samples (4, ...) in the caller's units of a shape that the file takes.

    Raises: ModelError.
    """
    failure: ModelError | None = None
    for _, *shape in candidate_shapes((None, *entry.shape)):
        x = _random((SAMPLES, *shape), bounds)
        try:
            deployed.raw(entry(_one_batch(deployed, x)), deployed.outputs)
        except ModelError as error:
            failure = failure or error
            continue
        opened = None in entry.shape
        return x, ((f"the file leaves its size open; it was examined at {tuple(shape)}",) if opened else ())
    raise failure or ModelError(f"{entry.path} takes no samples; export it again")


def detect_answer(deployed: Deployed, entry: Entry, x: Tensor) -> tuple[Answer, tuple[str, ...]]:
    """Which output holds the scores and what they are, measured on random samples.

    Raises: ModelError.
    """
    values = deployed.raw(entry(_one_batch(deployed, x)), deployed.outputs)
    name, labels, notes = choose(entry.path, deployed.outputs, values, deployed.batch or 1)
    if labels:
        return Answer(name, "labels", None), notes
    place = deployed.outputs.index(name)
    rows = [np.atleast_2d(values[place])]
    for start in range(1, len(x) if deployed.batch in (None, 1) else 1):
        rows.append(np.atleast_2d(deployed.raw(entry(x[start : start + 1]), [name])[0]))
    scores = as_matrix(torch.from_numpy(np.concatenate(rows)))
    return Answer(name, kind_of(scores), int(scores.shape[1])), notes


def settle_batch(deployed: Deployed, entry: Entry, answer: Answer, x: Tensor) -> tuple[str, ...]:
    """Fall back to batch 1 when a file that leaves the batch open answers two samples otherwise than each alone."""
    if deployed.batch is not None:
        return (f"the file insists on batches of {deployed.batch}",)
    values = entry(x[:2])
    singles = [np.asarray(deployed.raw(values[i : i + 1], [answer.name])[0], dtype=np.float64) for i in (0, 1, 0)]
    if not np.array_equal(singles[0], singles[2], equal_nan=True):
        return ("the file draws random numbers: the same sample gives different answers",)
    try:
        both = np.asarray(deployed.raw(values, [answer.name])[0], dtype=np.float64)
    except ModelError:
        deployed.batch = 1
        return ("the file leaves the batch open and fails on two samples; it is run one by one",)
    alone = np.concatenate([np.atleast_1d(value) for value in singles[:2]])
    scale = max(float(np.nanmax(np.abs(alone), initial=0.0)), 1.0)
    if both.shape == alone.shape and np.allclose(both, alone, rtol=0.0, atol=_AGREE * scale, equal_nan=True):
        return ()
    deployed.batch = 1
    return ("the file leaves the batch open and mixes samples of one batch; it is run one by one",)
