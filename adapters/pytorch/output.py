"""What a module returns: where its scores are, and which kind they are."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...harness.errors import ModelError
from ...harness.model_info import OutputKind

_SUM_TOLERANCE = 1e-5
_HALF_SUM_TOLERANCE = 5e-3
_SMALLEST = torch.finfo(torch.float32).tiny
_ALMOST_ONE = 1 - torch.finfo(torch.float32).eps / 2
"""The largest float32 below one; nearer to one even float64 has few digits left for a logit."""


def output_kind(scores: Tensor, last: str = "") -> OutputKind:
    """What finite scores (N, K) are, to judge by their signs, the sums of their rows and the last operation."""
    tolerance = _HALF_SUM_TOLERANCE if scores.dtype in (torch.float16, torch.bfloat16) else _SUM_TOLERANCE
    scores = scores.double()
    if bool((scores >= 0).all()) and _sum_to_one(scores, tolerance):
        return "labels" if bool((scores.amax(dim=1) == 1).all()) else "probabilities"
    if last == "sigmoid" and bool(((scores >= 0) & (scores <= 1)).all()):
        return "sigmoids"
    if bool((scores <= 0).all()) and _sum_to_one(scores.exp(), tolerance):
        return "log-probabilities"
    return "logits"


def _sum_to_one(rows: Tensor, tolerance: float) -> bool:
    return bool(((rows.sum(dim=1) - 1).abs() <= tolerance).all())


def as_logits(scores: Tensor, kind: OutputKind) -> Tensor:
    """Scores (N, K) of some kind -> (N, K) with the same order and without the saturation of a softmax or sigmoid."""
    if kind == "probabilities":
        return scores.clamp(min=_SMALLEST).log()
    if kind == "sigmoids":
        return scores.clamp(_SMALLEST, _ALMOST_ONE).logit()
    return scores


def checked(scores: Tensor | None, *, samples: int, name: str, classes: int | None) -> Tensor:
    """The scores, if they are (N, K) floats with K >= 2.

    Raises:
        ModelError: they are not, or there are none.
    """
    if scores is None:
        raise ModelError(f"{name} returns no tensor of scores: make it return the logits (N, K)")
    shape = tuple(scores.shape)
    if len(shape) != 2 or shape[0] != samples or shape[1] < 2:
        raise ModelError(
            f"{name} returns {shape} for {samples} samples, not one logit per class: make it return (N, K) "
            "with at least two classes"
        )
    if not scores.is_floating_point():
        raise ModelError(f"{name} returns {scores.dtype} instead of scores: make it return the logits (N, K)")
    if classes not in (None, shape[1]):
        raise ModelError(f"{name} returns {shape[1]} classes where {classes} were expected: check --classes")
    return scores


def unpacked(raw: object) -> tuple[Tensor | None, str | None]:
    """The scores inside of a module's return value, and a note on where they were found."""
    if isinstance(raw, Tensor):
        return raw, None
    held = raw.get("logits") if isinstance(raw, Mapping) else getattr(raw, "logits", None)
    if isinstance(held, Tensor):
        return held, f"the logits were taken out of the {type(raw).__name__} that the module returns"
    parts = list(raw.values()) if isinstance(raw, Mapping) else list(raw) if isinstance(raw, tuple | list) else []
    first = next((part for part in parts if isinstance(part, Tensor)), None)
    return first, f"the first tensor of the {type(raw).__name__} that the module returns is taken as its logits"
