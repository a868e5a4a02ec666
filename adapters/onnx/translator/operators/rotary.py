"""RotaryEmbedding: pairs of features turned by an angle that grows with the position."""

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import together


def _turned(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """x (N, length, heads, size) with every pair turned."""
    if interleaved:
        first, second = x[..., 0::2], x[..., 1::2]
    else:
        first, second = x.chunk(2, dim=-1)
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    if interleaved:
        return torch.stack([real, imaginary], dim=-1).flatten(-2)
    return torch.cat([real, imaginary], dim=-1)


def rotary_embedding(node: Node, x: Tensor, cos: Tensor, sin: Tensor, position: Tensor | None = None) -> Tensor:
    """The first rotary_embedding_dim features of every head turned, the others as they are.

    Raises: UntranslatableError.
    """
    x, cos, sin = together(x, cos, sin)
    packed = x.dim() == 3
    if packed:
        heads = node.integer("num_heads", 0)
        if heads < 1:
            raise UntranslatableError(f"{node.key} over 3-d input without num_heads")
        y = x.reshape(x.shape[0], x.shape[1], heads, -1)
    else:
        y = x.transpose(1, 2)
    size = node.integer("rotary_embedding_dim", 0) or y.shape[-1]
    if position is not None:
        index = position.long().to(x.device)
        cos, sin = cos[index], sin[index]
    if cos.dim() != 3 or 2 * cos.shape[-1] != size or sin.shape != cos.shape:
        raise UntranslatableError(f"{node.key} turns {size} features with angles of shape {tuple(cos.shape)}")
    turned = _turned(y[..., :size], cos.unsqueeze(2), sin.unsqueeze(2), bool(node.integer("interleaved", 0)))
    y = torch.cat([turned, y[..., size:]], dim=-1)
    return y.reshape(x.shape) if packed else y.transpose(1, 2)
