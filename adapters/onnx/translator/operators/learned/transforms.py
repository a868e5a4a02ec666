"""From raw scores to what a classical model answers with."""

import torch
from torch import Tensor

from ...node import Node, UntranslatableError

_NEAR_ZERO = 1e-7


def rows(node: Node, x: Tensor) -> Tensor:
    """Numbers of any type as floats (N, F); one sample alone may come as a vector.

    Raises: UntranslatableError.
    """
    if x.dim() not in (1, 2):
        raise UntranslatableError(f"{node.key} over {x.dim()} dimensions")
    return x.to(node.precision).reshape(-1, x.shape[-1])


def weights(node: Node, key: str, like: Tensor) -> Tensor:
    """An attribute of many numbers as a tensor beside another; empty when absent."""
    value = node.tensor(key)
    return like.new_zeros(0) if value is None else value.to(like.device, like.dtype)


def scores_only(node: Node, scores: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a classifier whose label nobody reads.

    Raises: UntranslatableError.
    """
    if node.outputs[0]:
        raise UntranslatableError(f"the label of {node.key} is used further on")
    return scores, scores


def _softmax_zero(scores: Tensor) -> Tensor:
    """Softmax over the scores that are not zero; the others keep a share of nothing."""
    top = scores.amax(-1, keepdim=True)
    counted = scores.abs() > _NEAR_ZERO
    shares = torch.where(counted, torch.exp(scores - top), scores * torch.exp(-top))
    return shares / torch.where(counted, shares, torch.zeros_like(shares)).sum(-1, keepdim=True)


def transformed(node: Node, scores: Tensor) -> Tensor:
    """The post_transform over two or more columns; a single column stays as it is.

    Raises: UntranslatableError.
    """
    name = node.text("post_transform", "NONE")
    if name == "PROBIT":
        raise UntranslatableError(f"{node.key} with the post_transform PROBIT")
    if scores.shape[-1] < 2:
        return scores
    if name == "LOGISTIC":
        return torch.sigmoid(scores)
    if name == "SOFTMAX":
        return torch.softmax(scores, -1)
    return _softmax_zero(scores) if name == "SOFTMAX_ZERO" else scores


def two_columns(node: Node, scores: Tensor, mirrored: bool) -> Tensor:
    """One score s of two classes as (N, 2): both sigmoids, (-s, s) when mirrored and untransformed, else (1 - s, s)."""
    name = node.text("post_transform", "NONE")
    if name == "LOGISTIC":
        return torch.sigmoid(torch.cat([-scores, scores], -1))
    return torch.cat([-scores if mirrored and name == "NONE" else 1.0 - scores, scores], -1)
