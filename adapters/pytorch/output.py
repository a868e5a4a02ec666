"""What a module returns: where its scores are, and which kind they are."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...harness.model_info import OutputKind

_SUM_TOLERANCE = 1e-5
_HALF_SUM_TOLERANCE = 5e-3


def output_kind(scores: Tensor) -> OutputKind:
    """What finite scores (N, K) are, to judge by their signs and the sums of their rows."""
    tolerance = _HALF_SUM_TOLERANCE if scores.dtype in (torch.float16, torch.bfloat16) else _SUM_TOLERANCE
    scores = scores.double()
    if bool((scores >= 0).all()) and _sum_to_one(scores, tolerance):
        return "probabilities"
    if bool((scores <= 0).all()) and _sum_to_one(scores.exp(), tolerance):
        return "log-probabilities"
    return "logits"


def _sum_to_one(rows: Tensor, tolerance: float) -> bool:
    return bool(((rows.sum(dim=1) - 1).abs() <= tolerance).all())


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
