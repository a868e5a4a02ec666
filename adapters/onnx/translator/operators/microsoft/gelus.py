"""The GELU family, with and without a bias in front."""

import torch
from torch import Tensor
from torch.nn import functional

from ...node import Node


def gelu(_node: Node, x: Tensor) -> Tensor:
    """x Phi(x), exact."""
    return functional.gelu(x)


def bias_gelu(_node: Node, x: Tensor, bias: Tensor) -> Tensor:
    """The exact GELU of x + bias."""
    return functional.gelu(x + bias)


def fast_gelu(_node: Node, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """The GELU of x + bias by tanh."""
    return functional.gelu(x if bias is None else x + bias, approximate="tanh")


def quick_gelu(node: Node, x: Tensor) -> Tensor:
    """x sigmoid(alpha x)."""
    return x * torch.sigmoid(x * node.number("alpha", 1.702))
