"""Comparisons, boolean algebra and Where: exact forward, no gradient through the condition."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..node import Node
from .values import Operator, together


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """An operator without attributes from a torch function of two tensors."""

    def forward(_node: Node, a: Tensor, b: Tensor) -> Tensor:
        a, b = together(a, b)
        return function(a, b)

    return forward


def where(_node: Node, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the condition holds, else b."""
    condition, a, b = together(condition, a, b)
    return torch.where(condition, a, b)


def is_inf(node: Node, x: Tensor) -> Tensor:
    """Whether an element is infinite with a sign that counts."""
    nothing = torch.zeros_like(x, dtype=torch.bool)
    positive = torch.isposinf(x) if node.integer("detect_positive", 1) else nothing
    negative = torch.isneginf(x) if node.integer("detect_negative", 1) else nothing
    return positive | negative
