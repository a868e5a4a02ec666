"""Products of matrices with transpositions and a factor built in, and distances between rows."""

import torch
from torch import Tensor

from ...node import Node, UntranslatableError
from ..values import together

_SAME = 1e-12
"""Squared distances below this part of the squared lengths are rounding."""


def _turned(x: Tensor, transposed: int, batch_last: int) -> Tensor:
    """A factor as plain matrices; a vector stays what it is."""
    if x.dim() < 2:
        return x
    if batch_last:
        x = x.movedim(0, -2)
    return x.transpose(-1, -2) if transposed else x


def fused_matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """alpha times the product; transBatch says that the row index comes before the batch dimensions."""
    a, b = together(a, b)
    a = _turned(a, node.integer("transA", 0), node.integer("transBatchA", 0))
    b = _turned(b, node.integer("transB", 0), node.integer("transBatchB", 0))
    alpha = node.number("alpha", 1.0)
    y = torch.matmul(a, b)
    return y if alpha == 1.0 else alpha * y


def cdist(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """Distance of each row of a to each row of b, plain or squared.

    Raises: UntranslatableError.
    """
    metric = node.text("metric", "sqeuclidean")
    if metric not in ("sqeuclidean", "euclidean"):
        raise UntranslatableError(f"{node.key} with the metric {metric!r}")
    # expanded in double precision, to spare the memory of all differences
    rows, columns = (x.double() for x in together(a, b))
    sizes = rows.square().sum(-1, keepdim=True) + columns.square().sum(-1)
    squared = sizes - 2.0 * (rows @ columns.T)
    apart = squared > _SAME * sizes
    if metric == "euclidean":
        squared = torch.where(apart, squared, 1.0).sqrt()
    return torch.where(apart, squared, 0.0).to(a.dtype)
