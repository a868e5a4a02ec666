"""A gradient that attacks can step along although parts of it are no numbers."""

import torch
from torch import Tensor


def cleaned(gradient: Tensor) -> Tensor:
    """The gradient (N, ...) with 0 for NaN, and for an infinity the largest finite size in its sample.

    One pixel without a direction (grey, divided by its colourfulness; black, under a square root) must not cost the
    others theirs; an infinite slope still has a sign.
    """
    finite = torch.where(gradient.isfinite(), gradient, 0.0)
    largest = finite.flatten(1).abs().amax(dim=1).reshape(-1, *([1] * (gradient.dim() - 1)))
    size = torch.where(largest > 0, largest, torch.ones_like(largest))
    return torch.where(gradient.isinf(), gradient.sign() * size, finite)
