"""Class probabilities from the probabilities of every pair of classes."""

import torch
from torch import Tensor

_ROUNDS = 100
_CLOSE = 0.005


def _settled(done: Tensor) -> bool:
    """Whether no sample changes any more; under vmap nobody can tell, and every round is run."""
    try:
        return bool(done.all())
    except RuntimeError:
        return False


def _round(p: Tensor, matrix: Tensor, product: Tensor, total: Tensor, eye: Tensor) -> Tensor:
    """One pass over the classes, each set to its best value given the others."""
    for place in range(p.shape[-1]):
        line = matrix[..., place, :]
        diagonal = line[..., place : place + 1]
        here = product[..., place : place + 1]
        change = (total - here) / diagonal
        total = (total + change * (change * diagonal + 2.0 * here)) / (1.0 + change).square()
        product = (product + change * line) / (1.0 + change)
        p = (p + change * eye[place]) / (1.0 + change)
    return p


def coupled(pairs: Tensor) -> Tensor:
    """(N, K, K), entry (i, j) the probability of i against j, to (N, K): at most 100 rounds, as few as suffice.

    The method is that of Wu, Lin and Weng (2004); it stops early on purpose, and so does this.
    """
    classes = pairs.shape[-1]
    against = pairs.transpose(-1, -2)
    eye = torch.eye(classes, dtype=pairs.dtype, device=pairs.device)
    diagonal = (against.square() * (1.0 - eye)).sum(-1)
    matrix = torch.diag_embed(diagonal) - against * pairs * (1.0 - eye)
    p = torch.full_like(diagonal, 1.0 / classes)
    done = torch.zeros_like(diagonal[..., :1], dtype=torch.bool)
    for _ in range(_ROUNDS):
        product = (matrix @ p.unsqueeze(-1)).squeeze(-1)
        total = (p * product).sum(-1, keepdim=True)
        done = done | ((product - total).abs().amax(-1, keepdim=True) < _CLOSE / classes)
        if _settled(done):
            break
        p = torch.where(done, p, _round(p, matrix, product, total, eye))
    return p
