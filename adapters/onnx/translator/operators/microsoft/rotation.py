"""Rotary position embedding."""

import torch
from torch import Tensor

from ...node import Node, UntranslatableError


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """Pairs of numbers turned by their angle: neighbours, or the two halves."""
    if interleaved:
        left, right = x[..., 0::2], x[..., 1::2]
    else:
        left, right = x.chunk(2, -1)
    turned = (left * cos - right * sin, right * cos + left * sin)
    return torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)


def rotary_embedding(node: Node, x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Every head of (B, S, N H) or (B, N, S, H) turned by the angles of its position.

    Raises: UntranslatableError.
    """
    if node.integer("is_packed_batching", 0):
        raise UntranslatableError(f"{node.key} over packed batches")
    rotary = node.integer("rotary_embedding_dim", 0)
    flat, count = x.dim() == 3, node.integer("num_heads", 0)
    heads = x
    if flat:
        size = x.shape[-1] // count if count and rotary else 2 * cos.shape[-1]
        heads = x.reshape(x.shape[0], x.shape[1], -1, size).transpose(1, 2)
    size, length = heads.shape[-1], heads.shape[-2]
    turned = rotary or size
    if turned != 2 * cos.shape[-1]:
        raise UntranslatableError(f"{node.key} with {cos.shape[-1]} angles for {turned} numbers")
    place = positions.long().to(cos.device)
    if place.numel() == 1:
        place = place.reshape(1, 1) + torch.arange(length, device=cos.device)
    angles = [table[place].unsqueeze(1) for table in (cos, sin)]
    parts = [_rotated(heads[..., :turned], angles[0], angles[1], bool(node.integer("interleaved", 0)))]
    y = torch.cat([*parts, heads[..., turned:]], -1) if turned < size else parts[0]
    return y.transpose(1, 2).reshape(x.shape) if flat else y
