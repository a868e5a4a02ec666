"""What a file answers with, and how that becomes pseudo-logits (N, K) with the same argmax."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...harness.errors import ModelError
from ...harness.model_info import OutputKind
from .facts.tap import Ranked

SMALLEST = 1e-38
"""Probabilities below this count as this."""
_SUM_TOLERANCE = 1e-3
STEP = 2.0**-24
"""Below one, float32 numbers are this far apart."""


@dataclass(frozen=True)
class OutputFacts:
    """What the graph tells of an output."""

    rank: Ranked | None = None
    """What a TopK makes of it: sorted values are no scores, and the first place is the label."""
    step: float = 0.0
    """How coarsely it quantises a Softmax."""
    sources: frozenset[str] = frozenset()
    """Tensors that it is made of."""


@dataclass(frozen=True)
class Answer:
    """The output that holds the scores, and what they are."""

    name: str
    kind: OutputKind
    classes: int | None
    notes: tuple[str, ...] = ()


def as_matrix(scores: Tensor) -> Tensor:
    """(N, K, 1, ...) -> (N, K)."""
    return scores if scores.dim() == 2 else scores.reshape(scores.shape[0], -1)


def _is_scores(value: Any, batch: int) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.size or value.ndim < 1:
        return False
    if value.ndim == 1:
        return batch == 1 and value.size >= 2
    wide = [size for size in value.shape[1:] if size != 1]
    return value.shape[0] == batch and len(wide) == 1


def _is_whole_scores(value: Any, batch: int) -> bool:
    """Scores that the file leaves as whole numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu" and _is_scores(value.astype(np.float32), batch)


def _is_labels(value: Any, batch: int, places: bool) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.ndim > 2:
        return False
    return value.size == batch or (places and value.ndim == 2 and len(value) == batch)


def _too_narrow(value: Any, batch: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size == batch


def kind_of(scores: Tensor, step: float = 0.0) -> OutputKind:
    """Whether rows are probabilities, log-probabilities or neither, judged from a few of them.

    `step` is how coarsely a file quantises its probabilities.
    """
    rows = as_matrix(scores).double()
    # the logarithm of a probability that underflowed is -inf, and nothing else may be infinite
    if bool(rows.isnan().any() | rows.isposinf().any()):
        return "logits"
    if bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < _SUM_TOLERANCE + step * rows.shape[1]).all()):
        return "probabilities"
    if bool((rows <= _SUM_TOLERANCE).all()) and bool(((rows.exp().sum(1) - 1).abs() < _SUM_TOLERANCE).all()):
        return "log-probabilities"
    return "logits"


def choose(
    path: Path, names: list[str], values: list[Any], batch: int, facts: Mapping[str, OutputFacts]
) -> tuple[str, bool, tuple[str, ...]]:
    """(name, whether it holds labels, notes) of the output to use, from one batch of every output.

    Of several rows of scores, those that others are made of are features, and left out.

    Raises: ModelError.
    """
    pairs = list(zip(names, values, strict=True))
    free = [(name, value) for name, value in pairs if facts[name].rank is None]
    scores = [name for name, value in free if _is_scores(value, batch)]
    scores = [name for name in scores if not any(name in facts[other].sources for other in scores)]
    labels = [name for name, value in pairs if _is_labels(value, batch, facts[name].rank == "places")]
    whole = [name for name, value in free if _is_whole_scores(value, batch)]
    chosen = (scores or labels or whole or [""])[0]
    if not chosen:
        shapes = ", ".join(
            f"{name!r} {getattr(value, 'shape', '?')}" for name, value in zip(names, values, strict=True)
        )
        if any(_too_narrow(value, batch) for value in values):
            raise ModelError(f"{path} answers with one column ({shapes}); it needs at least two output columns")
        raise ModelError(f"{path} has no output with one row of scores per sample ({shapes}); export the logits")
    notes = (f"of the outputs {', '.join(names)} only {chosen} is used",) if len(names) > 1 else ()
    return chosen, not scores and chosen in labels, notes


def pseudo_logits(answer: Answer, raw: Tensor) -> Tensor:
    """Scores of the file -> float32 (N, K) with the same argmax."""
    if answer.kind == "labels":
        # of the places of the best k, the first is the label
        labels, classes = as_matrix(raw)[:, 0].long(), answer.classes or 0
        if bool(((labels < 0) | (labels >= classes)).any()):
            raise ModelError(
                f"the file answers with the label {int(labels[(labels < 0) | (labels >= classes)][0])}, which is none "
                f"of the {classes} classes counted from 0; export it with scores"
            )
        return functional.one_hot(labels, classes).float()
    scores = as_matrix(raw).float()
    if answer.kind == "sigmoids":
        return torch.logit(scores.clamp(SMALLEST, 1 - STEP))
    if answer.kind == "log-probabilities":
        return scores.clamp(min=math.log(SMALLEST))
    return scores.clamp(min=SMALLEST).log() if answer.kind == "probabilities" else scores
