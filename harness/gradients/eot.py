"""Expectation over transformation: draws folded into the batch, answers averaged over them.

Source: Athalye et al. 2018, "Synthesizing robust adversarial examples", section 2.
"""

import torch
from torch import Tensor


def fold(x: Tensor, draws: int) -> Tensor:
    """(N, ...) to (N * draws, ...), sample-major."""
    return x if draws == 1 else x.repeat_interleave(draws, dim=0)


def mean(values: Tensor, draws: int) -> Tensor:
    """(N * draws, ...) to the mean over each sample's draws (N, ...)."""
    return values if draws == 1 else values.reshape(-1, draws, *values.shape[1:]).mean(dim=1)


def mean_known(values: Tensor, known: Tensor, draws: int) -> Tensor:
    """The mean of values (N * draws,) over each sample's draws that are `known`, over all where none is, (N,)."""
    if draws == 1:
        return values
    folded, counts = values.reshape(-1, draws), known.reshape(-1, draws)
    counts = counts | ~counts.any(dim=1, keepdim=True)
    return torch.where(counts, folded, 0.0).sum(dim=1) / counts.sum(dim=1)


def every(flags: Tensor, draws: int) -> Tensor:
    """(N * draws,) to whether all draws of a sample agree, (N,)."""
    return flags if draws == 1 else flags.reshape(-1, draws).all(dim=1)
