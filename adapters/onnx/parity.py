"""Twin and deployed forward on the same samples: how far apart, and whether that is close enough."""

import torch
from torch import Tensor
from torch.nn import functional

from ...harness.classifier import Forward
from ...harness.model_info import ModelInfo, OutputKind, Twin
from .drawn import apart, sampled
from .outputs import SMALLEST
from .translator.translate import first_line
from .twin import TorchTwin

_SMALLEST_SCALE = 1e-3
"""Logits smaller than this all over are compared as if they were this large: rounding inside the network is not."""

_ROUNDING = 5e-7
"""What an operator other than a Softmax may add to a probability, however small, by computing with numbers near 1."""

_LABEL_SHARE = 0.05
"""Share of draws that may have another label, on a sample between two classes."""


def _comparable(kind: OutputKind, scores: Tensor, *, quantised: bool = False) -> Tensor:
    """What both forwards must agree on: logits, log-probabilities down to 1e-38, or the label as one-hot.

    Of quantised probabilities most are zero, whose logarithm says nothing: they are compared as they are.
    """
    if kind == "labels":
        return functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)
    if kind == "logits":
        return scores
    if quantised and kind == "probabilities":
        return torch.softmax(scores, dim=1)
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


def _draws(kind: OutputKind, forward: Forward, x: Tensor) -> Tensor:
    return sampled(lambda: _comparable(kind, forward(x).cpu().double()))


def _measure_drawn(info: ModelInfo, twin: Forward, deployed: Forward, x: Tensor) -> Twin:
    """The record of a twin that draws random numbers: means and spreads over draws instead of single answers."""
    kind, known = info.output, info.twin
    left, right = (_draws(kind, forward, x) for forward in (deployed, twin))
    scale = float(left.nan_to_num(0.0, 0.0, 0.0).mean(0).abs().max())
    parity = apart(left, right)
    tolerance = max(known.allowed(max(scale, _SMALLEST_SCALE)), _LABEL_SHARE if kind == "labels" else 0.0)
    record = known.model_copy(update={"parity": parity, "scale": scale, "samples": len(x)})
    if parity <= tolerance:
        return record
    reason = f"the twin and the deployed forward draw random numbers, and over {len(left)} draws means or "
    reason += f"deviations differ by {parity:.3g} more than chance on logits up to {scale:.3g}"
    return record.model_copy(update={"available": False, "reason": reason})


@torch.no_grad()
def measure(info: ModelInfo, twin: TorchTwin, deployed: Forward, x: Tensor) -> Twin:
    """The twin's record after comparing it on x, (N, *shape) in the caller's units; closed when it fails."""
    kind, known = info.output, info.twin
    try:
        found = twin(x).cpu().double()
    except Exception as error:
        return Twin(available=False, reason=f"the twin failed: {first_line(error)}", samples=len(x))
    wanted = deployed(x).cpu().double()
    if found.shape != wanted.shape:
        shapes = f"{tuple(found.shape)} where the deployed forward has {tuple(wanted.shape)}"
        return Twin(available=False, reason=f"the twin answers with {shapes}", samples=len(x))
    if twin.random or info.random_operators:
        return _measure_drawn(info, twin, deployed, x)
    left, right = (_comparable(kind, scores, quantised=known.step is not None) for scores in (wanted, found))
    if kind == "probabilities" and twin.logarithm:
        right = torch.where((left.exp() - right.exp()).abs() <= _ROUNDING, left, right)
    parity = _difference(left, right)
    scale = float(left.nan_to_num(0.0, 0.0, 0.0).abs().max())
    tolerance = known.allowed(max(scale, _SMALLEST_SCALE))
    spread = float(found.nan_to_num(0.0, 0.0, 0.0).abs().max())
    flips = _labels_differ(wanted, found, known.allowed(spread))
    record = known.model_copy(update={"parity": parity, "scale": scale, "samples": len(x)})
    close = kind == "labels" or parity <= tolerance
    if close and not flips:
        return record
    reason = f"the twin differs from the deployed forward by {parity:.3g} on logits up to {scale:.3g}"
    reason += f" (tolerance {tolerance:.3g}), with {flips} other labels in {len(x)} samples"
    return record.model_copy(update={"available": False, "reason": reason})
