"""Attention with several heads, without a cache of earlier keys."""

from math import sqrt

import torch
from torch import Tensor

from ...node import Node, UntranslatableError
from .masks import additive_mask


def _heads(x: Tensor, count: int) -> Tensor:
    """(B, S, N H) -> (B, N, S, H)."""
    batch, length, width = x.shape
    return x.reshape(batch, length, count, width // count).transpose(1, 2)


def _attended(node: Node, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
    """Softmax of the scaled scores times the values, (B, N, S, H) each, as (B, S, N H)."""
    scale = node.number("scale", 0.0) or 1.0 / sqrt(q.shape[-1])
    scores = additive_mask(node, torch.matmul(q, k.transpose(-1, -2)) * scale, mask, bias)
    y = torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2)
    return y.reshape(y.shape[0], y.shape[1], -1)


def _refuse(node: Node, used: dict[str, bool]) -> None:
    found = [name for name, present in used.items() if present]
    if found:
        raise UntranslatableError(f"{node.key} with {', '.join(found)}")


def attention(
    node: Node,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    past: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_length: Tensor | None = None,
) -> Tensor:
    """Self-attention whose queries, keys and values are one product with packed weights.

    Raises: UntranslatableError.
    """
    earlier = past is not None or past_length is not None
    _refuse(node, {"a cache of keys": earlier, "rotary positions": bool(node.integer("do_rotary", 0))})
    if bias is None:
        raise UntranslatableError(f"{node.key} without a bias")
    packed = torch.matmul(x, weight) + bias
    sizes = node.integers("qkv_hidden_sizes") or [packed.shape[-1] // 3] * 3
    count = node.integer("num_heads", 1)
    q, k, v = (_heads(part, count) for part in packed.split_with_sizes(sizes, -1))
    return _attended(node, q, k, v, mask, attention_bias)


def multi_head_attention(
    node: Node,
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    attention_bias: Tensor | None = None,
    *cache: Tensor | None,
) -> Tensor:
    """Attention of queries (B, S, D) over keys and values (B, L, D), or (B, N, L, H) from elsewhere.

    Raises: UntranslatableError.
    """
    if key is None or value is None or query.dim() != 3 or key.dim() != value.dim() or key.dim() not in (3, 4):
        raise UntranslatableError(f"{node.key} with packed queries, keys and values")
    ahead = key.dim() == 4
    _refuse(
        node,
        {
            "a cache of keys": any(entry is not None for entry in cache),
            "a bias on keys that are in heads already": ahead and bias is not None,
        },
    )
    if bias is not None:
        widths = [query.shape[-1], key.shape[-1], value.shape[-1]]
        shifts = bias.split_with_sizes(widths)
        query, key, value = (x + shift for x, shift in zip((query, key, value), shifts, strict=True))
    count = node.integer("num_heads", 1)
    k, v = (key, value) if ahead else (_heads(key, count), _heads(value, count))
    return _attended(node, _heads(query, count), k, v, mask, attention_bias)
