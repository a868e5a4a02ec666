"""Cast and CastLike."""

import torch
from torch import Tensor

from ..node import Node
from .obstacle import Obstacle


def _converted(x: Tensor, dtype: torch.dtype) -> Tensor:
    if x.dtype == dtype:
        return x
    return x != 0 if dtype == torch.bool else x.to(dtype)


def cast(node: Node, x: Tensor) -> Tensor:
    """To the type of the attribute; every float narrower than float64 computes in one precision."""
    return _converted(x, node.dtype(node.integer("to", 1)))


def cast_like(_node: Node, x: Tensor, like: Tensor) -> Tensor:
    """To the type of the second input."""
    return _converted(x, like.dtype)


def _kept(node: Node, x: Tensor, _like: Tensor | None = None) -> Tensor:
    return x if x.is_floating_point() else x.to(node.precision)


CUTS = "cuts to whole numbers, there is no gradient"
CAST = Obstacle(cast, CUTS, _kept)
CAST_LIKE = Obstacle(cast_like, CUTS, _kept)
