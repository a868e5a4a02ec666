"""Attention in all its variants: grouped heads, masks, windows, caches, soft caps."""

import math
from dataclasses import dataclass

import torch
from onnx import TensorProto
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import together


@dataclass(frozen=True)
class Scores:
    """Products of queries and keys at every stage, (N, heads, queries, keys)."""

    raw: Tensor
    capped: Tensor
    biased: Tensor
    probabilities: Tensor


def _split_heads(node: Node, x: Tensor, key: str) -> Tensor:
    """(N, length, heads * size) to (N, heads, length, size)."""
    heads = node.integer(key, 0)
    if heads < 1:
        raise UntranslatableError(f"{node.key} over 3-d inputs without {key}")
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _offset(queries: int, past: Tensor | None, valid: Tensor | None) -> int | Tensor:
    """Keys in front of the first query; one number per sample where the cache is kept outside."""
    if past is not None:
        return int(past.shape[2])
    return 0 if valid is None else valid.reshape(-1, 1, 1, 1) - queries


def _allowed(
    node: Node, shape: tuple[int, int], offset: int | Tensor, valid: Tensor | None, device: torch.device
) -> Tensor:
    """Which query may look at which key, by position alone."""
    place = torch.arange(shape[0], device=device)[:, None] + offset
    keys = torch.arange(shape[1], device=device)
    allowed = torch.ones(shape, dtype=torch.bool, device=device)
    left, right = node.integer("left_window_size", -1), node.integer("right_window_size", -1)
    if node.integer("is_causal", 0):
        allowed = allowed & (keys <= place)
    if left >= 0:
        allowed = allowed & (keys >= place - left)
    if right >= 0:
        allowed = allowed & (keys <= place + right)
    return allowed if valid is None else allowed & (keys < valid.reshape(-1, 1, 1, 1))


def _bias(allowed: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What is added to the scores: minus infinity where a query must not look."""
    nothing = torch.zeros((), dtype=dtype, device=allowed.device)
    closed = torch.full_like(nothing, -math.inf)
    if mask is None:
        return torch.where(allowed, nothing, closed)
    missing = allowed.shape[-1] - mask.shape[-1]
    if missing > 0:
        nobody = False if mask.dtype == torch.bool else -math.inf
        tail = torch.full((*mask.shape[:-1], missing), nobody, dtype=mask.dtype, device=mask.device)
        mask = torch.cat([mask, tail], dim=-1)
    if mask.dtype == torch.bool:
        return torch.where(allowed & mask, nothing, closed)
    return torch.where(allowed, mask.to(dtype), closed)


def _scores(node: Node, query: Tensor, key: Tensor, bias: Tensor) -> Scores:
    root = math.sqrt(node.number("scale", 1.0 / math.sqrt(query.shape[-1])))
    raw = (query * root) @ (key * root).transpose(-1, -2)
    cap = node.number("softcap", 0.0)
    capped = cap * torch.tanh(raw / cap) if cap > 0 else raw
    biased = capped + bias
    # a query that sees no key answers zero; its softmax would be NaN, and so would the gradient behind a mask
    blind = (bias == -math.inf).all(dim=-1, keepdim=True)
    open_ended = capped + torch.where(blind, torch.zeros_like(bias), bias)
    wide = node.integer("softmax_precision", TensorProto.FLOAT) == TensorProto.DOUBLE
    chances = torch.softmax(open_ended, dim=-1, dtype=torch.float64 if wide else None).to(raw.dtype)
    return Scores(raw, capped, biased, torch.where(blind, torch.zeros_like(chances), chances))


def _shown(node: Node, scores: Scores, mask: Tensor | None) -> Tensor:
    """The optional fourth output.

    Raises: UntranslatableError.
    """
    mode = node.integer("qk_matmul_output_mode", 0)
    closed = node.integer("is_causal", 0) or (mask is not None and mask.dtype == torch.bool)
    # a closed place shows minus infinity by the standard, the lowest finite number in onnxruntime
    if mode not in range(4) or (mode == 2 and closed and len(node.outputs) > 3):
        raise UntranslatableError(f"{node.key} shows its scores in the qk_matmul_output_mode {mode}")
    return (scores.raw, scores.capped, scores.biased, scores.probabilities)[mode]


def attention(
    node: Node,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    valid: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """softmax(cap(scale q k) + bias) v, with the extended keys and values and a stage of the scores.

    Raises: UntranslatableError.
    """
    packed = query.dim() == 3
    if packed:
        query = _split_heads(node, query, "q_num_heads")
        key, value = _split_heads(node, key, "kv_num_heads"), _split_heads(node, value, "kv_num_heads")
    if (past_key is None) != (past_value is None) or (past_key is not None and valid is not None):
        raise UntranslatableError(f"{node.key} with half a cache, or with two")
    if past_key is not None and past_value is not None:
        key, value = torch.cat([past_key, key], dim=2), torch.cat([past_value, value], dim=2)
    query, key, value = together(query, key, value)
    present = key, value
    if query.shape[1] % key.shape[1]:
        raise UntranslatableError(f"{node.key} shares {key.shape[1]} heads among {query.shape[1]}")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    valid = None if valid is None else valid.to(query.device)
    offset = _offset(query.shape[2], past_key, valid)
    allowed = _allowed(node, (query.shape[2], key.shape[2]), offset, valid, query.device)
    bias = _bias(allowed, None if mask is None else mask.to(query.device), query.dtype)
    scores = _scores(node, query, key, bias)
    y = scores.probabilities @ value
    if packed:
        y = y.transpose(1, 2).flatten(2)
    return y, *present, _shown(node, scores, mask)
