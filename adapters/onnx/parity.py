"""Twin and deployed forward on the same samples: how far apart, and whether that is close enough."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ...harness.model_info import OutputKind, Twin
from .outputs import SMALLEST
from .translate import first_line

if TYPE_CHECKING:
    from .classifier import OnnxClassifier


def _comparable(kind: OutputKind, scores: Tensor) -> Tensor:
    """What both forwards must agree on: logits, log-probabilities down to 1e-38, or the label as one-hot."""
    if kind == "labels":
        return functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)
    if kind == "logits":
        return scores
    return functional.log_softmax(scores, dim=1).clamp(min=torch.tensor(SMALLEST).log().item())


def _difference(a: Tensor, b: Tensor) -> float:
    same = (a == b) | (a.isnan() & b.isnan())
    apart = torch.where(same, torch.zeros_like(a), (a - b).abs().nan_to_num(nan=float("inf")))
    return float(apart.max()) if apart.numel() else 0.0


def _labels_differ(deployed: Tensor, twin: Tensor, tolerance: float) -> int:
    """Samples with another argmax although the twin's two best scores are further apart than the tolerance."""
    best = twin.nan_to_num().topk(2, dim=1).values
    clear = best[:, 0] - best[:, 1] > tolerance
    return int(((deployed.argmax(1) != twin.argmax(1)) & clear).sum())


@torch.no_grad()
def measure(classifier: "OnnxClassifier", x: Tensor) -> Twin:
    """The twin's record after comparing it on x, (N, *shape) in the caller's units; closed when it fails."""
    forward = classifier.translation
    if forward is None:
        return classifier.info.twin
    kind = classifier.info.output
    try:
        twin = forward.on_grid(x).cpu().double()
    except Exception as error:
        return Twin(available=False, reason=f"the twin failed: {first_line(error)}", samples=len(x))
    deployed = classifier.logits(x).cpu().double()
    if twin.shape != deployed.shape:
        shapes = f"{tuple(twin.shape)} where the deployed forward has {tuple(deployed.shape)}"
        return Twin(available=False, reason=f"the twin answers with {shapes}", samples=len(x))
    left, right = _comparable(kind, deployed), _comparable(kind, twin)
    parity = _difference(left, right)
    scale = float(left.nan_to_num(0.0, 0.0, 0.0).abs().max())
    tolerance = classifier.tolerance * max(scale, 1.0)
    spread = max(float(twin.nan_to_num(0.0, 0.0, 0.0).abs().max()), 1.0)
    flips = _labels_differ(deployed, twin, classifier.tolerance * spread)
    record = Twin(available=True, reason=classifier.info.twin.reason, parity=parity, scale=scale, samples=len(x))
    close = kind == "labels" or parity <= tolerance
    if close and not flips:
        return record
    reason = f"the twin differs from the deployed forward by {parity:.3g} on logits up to {scale:.3g}"
    reason += f" (tolerance {tolerance:.3g}), with {flips} other labels in {len(x)} samples"
    return record.model_copy(update={"available": False, "reason": reason})
