"""Twin and deployed forward on the same samples: how far apart, and whether that is close enough."""

import torch
from torch import Tensor
from torch.nn import functional

from ...harness.classifier import Forward
from ...harness.execution.answers import comparable, comparable_score
from ...harness.model_info import ModelInfo, Rejection, Twin
from .drawn import apart, sampled
from .translator.translate import first_line
from .twin import TorchTwin

_SMALLEST_SCALE = 1e-3
"""Logits smaller than this all over are compared as if they were this large: rounding inside the network is not."""

_ROUNDING = 5e-7
"""What an operator other than a Softmax may add to a probability, however small, by computing with numbers near 1."""

_LABEL_SHARE = 0.05
"""Share of draws that may have another label, on a sample between two classes."""


def _comparable(info: ModelInfo, scores: Tensor) -> Tensor:
    """What both forwards must agree on; of labels, the label as one-hot."""
    if info.output == "labels":
        return functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype)
    return comparable(scores, info)


def _difference(a: Tensor, b: Tensor) -> float:
    same = (a == b) | (a.isnan() & b.isnan())
    apart = torch.where(same, torch.zeros_like(a), (a - b).abs().nan_to_num(nan=float("inf")))
    return float(apart.max()) if apart.numel() else 0.0


def _clear(scores: Tensor, tolerance: float) -> Tensor:
    """Whether the two best scores of each row are further apart than the tolerance."""
    best = scores.nan_to_num().topk(2, dim=1).values
    return best[:, 0] - best[:, 1] > tolerance


def _draws(info: ModelInfo, forward: Forward, x: Tensor) -> Tensor:
    return sampled(lambda: _comparable(info, forward(x).cpu().double()))


def _measure_drawn(info: ModelInfo, twin: Forward, deployed: Forward, x: Tensor) -> Twin:
    """The record of a twin that draws random numbers: means and spreads over draws instead of single answers."""
    kind, known = info.output, info.twin
    left, right = (_draws(info, forward, x) for forward in (deployed, twin))
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
    left, right = (_comparable(info, scores) for scores in (wanted, found))
    if kind == "probabilities" and twin.logarithm:
        right = torch.where((left.exp() - right.exp()).abs() <= _ROUNDING, left, right)
    parity = _difference(left, right)
    scale = float(left.nan_to_num(0.0, 0.0, 0.0).abs().max())
    tolerance = known.allowed(max(scale, _SMALLEST_SCALE))
    spread = float(found.nan_to_num(0.0, 0.0, 0.0).abs().max())
    # a saturated head makes ties of what the twin, which starts in front of it, tells apart
    clear = _clear(found, known.allowed(spread)) & _clear(left, tolerance)
    flips = int(((wanted.argmax(1) != found.argmax(1)) & clear).sum())
    record = known.model_copy(update={"parity": parity, "scale": scale, "samples": len(x)})
    close = kind == "labels" or parity <= tolerance
    if close and not flips:
        return record
    reason = f"the twin differs from the deployed forward by {parity:.3g} on logits up to {scale:.3g}"
    reason += f" (tolerance {tolerance:.3g}), with {flips} other labels in {len(x)} samples"
    return record.model_copy(update={"available": False, "reason": reason})


@torch.no_grad()
def measure_rejection(
    record: Rejection, twin: Forward, deployed: Forward, x: Tensor, *, random: bool
) -> tuple[Rejection, str]:
    """The record after comparing the rejection scores (N,) of both on x, and why the twin is closed, if it is."""

    def asked(forward: Forward) -> Tensor:
        return comparable_score(forward(x).cpu(), record)

    if random:
        one, other = sampled(lambda: asked(deployed)), sampled(lambda: asked(twin))
        parity, scores = apart(one, other), one.mean(0)
    else:
        scores, found = asked(deployed), asked(twin)
        parity = _difference(scores, found)
        if record.unit == "whole":
            parity = float((scores != found).double().mean())
    scale = float(scores.nan_to_num(0.0, 0.0, 0.0).abs().max())
    record = record.model_copy(update={"parity": parity, "scale": scale})
    # Written so that NaN is no agreement.
    if parity <= record.allowed(scale):
        return record, ""
    text = f"the twin of the rejection score {record.output!r} differs from the deployed one by {parity:.3g} on scores "
    return record, text + f"up to {scale:.3g} (tolerance {record.allowed(scale):.3g})"
