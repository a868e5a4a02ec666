"""Two answers side by side: how far apart they are, and what kind they seem to be."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..model_info import ModelInfo, OutputKind, Rejection

LEAST = 1.6e-38
"""A smaller float32 probability is zero or denormal."""
_SUMS = 1e-4
_IMPOSSIBLE = -85.0
"""Logarithms below this are those of zero."""


def difference(a: Tensor, b: Tensor) -> float:
    """Largest L2 distance between normalised outputs (N, K), NaN apart."""
    a, b = functional.normalize(a.nan_to_num(0.0), dim=1), functional.normalize(b.nan_to_num(0.0), dim=1)
    return float((a - b).norm(dim=1).max()) if len(a) else 0.0


def comparable(scores: Tensor, info: ModelInfo) -> Tensor:
    """What twin and deployed model have to agree on: logits, or log-probabilities that float32 can hold.

    Of quantised probabilities most are zero, whose logarithm says nothing: they are compared as they are.
    """
    if info.output in ("logits", "labels"):
        return scores
    if info.output == "sigmoids":
        return torch.sigmoid(scores)
    if info.output == "probabilities" and info.twin.step is not None:
        return torch.softmax(scores, dim=1)
    return functional.log_softmax(scores, dim=1).clamp(min=math.log(max(info.twin.floor, LEAST)))


def comparable_score(excess: Tensor, record: Rejection) -> Tensor:
    """What twin and deployed model have to agree on, in float64: the rejection score (N,) behind an excess."""
    if record.unit != "log-odds":
        return excess.double() + record.above
    return torch.sigmoid(excess.double() + math.log(record.above / (1 - record.above)))


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Absolute differences, 0 where both are the same infinity."""
    return torch.where(a == b, 0.0, (a - b).abs())


def looks_like(scores: Tensor) -> OutputKind | None:
    """What kind of output the finite rows of scores (N, K) seem to be; None without such a row."""
    rows = scores[scores.isfinite().all(dim=1)].double()
    if len(rows) == 0:
        return None
    if bool((rows >= 0).all()) and bool(((rows.sum(dim=1) - 1).abs() < _SUMS).all()):
        return "labels" if bool((rows.amax(dim=1) == 1).all()) else "probabilities"
    if bool((rows <= 0).all()) and bool(((rows.exp().sum(dim=1) - 1).abs() < _SUMS).all()):
        return "labels" if bool((rows.topk(2, dim=1).values[:, 1] < _IMPOSSIBLE).all()) else "log-probabilities"
    return "sigmoids" if bool(((rows >= 0) & (rows <= 1)).all()) else "logits"
