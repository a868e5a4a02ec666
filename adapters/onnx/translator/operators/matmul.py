"""Products of matrices."""

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node
from .values import together


def matmul(_node: Node, a: Tensor, b: Tensor) -> Tensor:
    """numpy.matmul."""
    a, b = together(a, b)
    return torch.matmul(a, b)


def gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """alpha a b + beta c, each factor transposed on demand."""
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if node.integer("transA", 0):
        a = a.transpose(0, 1)
    plain = alpha == 1.0 and (c is None or beta == 1.0)
    if plain and node.integer("transB", 0) and (c is None or c.dim() == 1) and a.is_floating_point():
        return functional.linear(a, b, c)
    if node.integer("transB", 0):
        b = b.transpose(0, 1)
    y = a @ b
    if alpha != 1.0:
        y = alpha * y
    if c is None:
        return y
    return y + (c if beta == 1.0 else beta * c)


def einsum(node: Node, *values: Tensor) -> Tensor:
    """Einstein summation."""
    return torch.einsum(node.text("equation", "").replace(" ", ""), *together(*values))
