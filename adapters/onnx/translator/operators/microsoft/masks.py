"""What attention may look at, as numbers to add to its scores."""

import torch
from torch import Tensor

from ...node import Node, UntranslatableError


def _allowed(node: Node, mask: Tensor, batch: int, queries: int, keys: int) -> Tensor | None:
    """True where a key may be seen, (B, 1, 1 or S, T); None when the mask says nothing."""
    if mask.dim() == 1 and mask.shape[0] in (batch, 2 * batch):
        place = torch.arange(keys, device=mask.device).reshape(1, 1, 1, keys)
        seen = place < mask[:batch].reshape(batch, 1, 1, 1)
        return seen if mask.shape[0] == batch else seen & (place >= mask[batch:].reshape(batch, 1, 1, 1))
    if mask.shape == (batch, keys):
        return mask.reshape(batch, 1, 1, keys) > 0
    if mask.dim() == 2 and mask.shape[0] in (1, batch) and mask.shape[1] == 1:
        return None
    if mask.shape == (batch, queries, keys):
        return mask.unsqueeze(1) > 0
    raise UntranslatableError(f"{node.key} with a mask {tuple(mask.shape)} for {batch} samples and {keys} keys")


def additive_mask(node: Node, scores: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scores (B, N, S, T) plus the attention bias, with what must not be seen pushed far down.

    Raises: UntranslatableError.
    """
    batch, _, queries, keys = scores.shape
    if bias is not None:
        scores = scores + bias
    allowed = None if mask is None else _allowed(node, mask.to(scores.device), batch, queries, keys)
    if allowed is not None:
        pushed = torch.full_like(scores, node.number("mask_filter_value", -10000.0))
        scores = scores + torch.where(allowed, torch.zeros_like(scores), pushed)
    if not node.integer("unidirectional", 0) or queries == 1:
        return scores
    if keys > queries:
        raise UntranslatableError(f"{node.key} that looks back from {queries} places at {keys}")
    later = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).triu(1)
    return torch.where(later, torch.full_like(scores, torch.finfo(scores.dtype).min), scores)
