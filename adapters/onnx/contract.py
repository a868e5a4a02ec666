"""What a file can only tell by running: sizes that it leaves open, its scores, its batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...harness.errors import ModelError
from .drawn import apart, sampled
from .entry import Entry, Range
from .file.session import Deployed
from .outputs import Answer, OutputFacts, as_matrix, choose, kind_of

SAMPLES = 4
_SIZES = (32, 28, 64, 224)
"""Tried in this order where the file leaves height and width open."""
_AGREE = 1e-4
_RANDOM = "the file draws random numbers: the same sample gives different answers"


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


def all_outputs(deployed: Deployed, entry: Entry, x: Tensor) -> dict[str, Any]:
    """Every output by name, on one batch of random samples.

    Raises: ModelError.
    """
    values = deployed.raw(entry(_one_batch(deployed, x)), deployed.outputs)
    return dict(zip(deployed.outputs, values, strict=True))


def detect_answer(
    deployed: Deployed, entry: Entry, x: Tensor, values: Mapping[str, Any], facts: Mapping[str, OutputFacts]
) -> tuple[Answer, tuple[str, ...]]:
    """Which of these outputs holds the scores and what they are, measured on random samples.

    Raises: ModelError.
    """
    name, labels, notes = choose(entry.path, list(values), list(values.values()), deployed.batch or 1, facts)
    if labels:
        return Answer(name, "labels", None), notes
    rows = [np.atleast_2d(values[name])]
    for start in range(1, len(x) if deployed.batch in (None, 1) else 1):
        rows.append(np.atleast_2d(deployed.raw(entry(x[start : start + 1]), [name])[0]))
    scores = as_matrix(torch.from_numpy(np.concatenate(rows)).float())
    return Answer(name, kind_of(scores, facts[name].step), int(scores.shape[1])), notes


def _numbers(deployed: Deployed, values: Tensor, name: str) -> Tensor:
    return torch.from_numpy(np.atleast_1d(np.asarray(deployed.raw(values, [name])[0], dtype=np.float64)))


def _each(deployed: Deployed, values: Tensor, name: str) -> Tensor:
    """The same for two samples, one by one."""
    return torch.cat([_numbers(deployed, values[i : i + 1], name) for i in (0, 1)])


def _same(both: Tensor, alone: Tensor, draws: bool, least: float) -> bool:
    """`least`: numbers that are all smaller are compared as if they were this large."""
    if both.shape != alone.shape:
        return False
    scale = max(float(alone.abs().nan_to_num(0.0, 0.0).amax()) if alone.numel() else 0.0, least)
    if draws:
        return apart(both, alone) <= _AGREE * scale
    return torch.allclose(both, alone, rtol=0.0, atol=_AGREE * scale, equal_nan=True)


def _together(deployed: Deployed, values: Tensor, name: str, draws: bool, least: float) -> bool:
    """Whether two samples are answered together as they are one by one.

    Raises: ModelError.
    """
    single, both = _each(deployed, values, name), _numbers(deployed, values, name)
    if not draws or both.shape != single.shape:
        return _same(both, single, False, least)
    each = sampled(lambda: _each(deployed, values, name))
    return _same(sampled(lambda: _numbers(deployed, values, name)), each, True, least)


def settle_batch(
    deployed: Deployed,
    entry: Entry,
    outputs: Mapping[str, float],
    x: Tensor,
    *,
    alone_because: str = "",
    draws: bool = False,
) -> tuple[str, ...]:
    """Fall back to batch 1 when a file that leaves the batch open answers two samples otherwise than each alone.

    `outputs` are those that count, each with the size below which its numbers are all small; `alone_because` is a
    reason for batch 1 which a few samples need not show; `draws`: two answers to the same question differ, and are
    compared in their means.
    """
    if deployed.batch is not None:
        return (f"the file insists on batches of {deployed.batch}",)
    if alone_because:
        deployed.batch = 1
        return (*((_RANDOM,) if draws else ()), f"{alone_because}; it is run one by one")
    values = entry(x[:2])
    for name in outputs:
        single = _each(deployed, values, name).nan_to_num()
        draws = draws or not torch.equal(single, _each(deployed, values, name).nan_to_num())
    notes = (_RANDOM,) if draws else ()
    try:
        if all(_together(deployed, values, name, draws, least) for name, least in outputs.items()):
            return notes
    except ModelError:
        deployed.batch = 1
        return (*notes, "the file leaves the batch open and fails on two samples; it is run one by one")
    deployed.batch = 1
    return (*notes, "the file leaves the batch open and mixes samples of one batch; it is run one by one")
