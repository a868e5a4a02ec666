"""Comparisons, boolean algebra and Where; on the way back a truth value is a number between 0 and 1."""

from collections.abc import Callable

import torch
from torch import Tensor

from ....soft import soft_step
from ..node import Node
from .obstacle import THRESHOLDS, Obstacle
from .unsigned import in_order
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


def _float(value: Tensor, like: Tensor) -> Tensor:
    return value if value.is_floating_point() else value.to(like.dtype if like.is_floating_point() else torch.float32)


def _soft(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """A surrogate of two truth values or numbers; what does not depend on the input arrives in its own type."""

    def forward(_node: Node, a: Tensor, b: Tensor) -> Tensor:
        a, b = together(a, b)
        return function(_float(a, b), _float(b, a))

    return forward


def _above(a: Tensor, b: Tensor) -> Tensor:
    return soft_step(a - b)


def _near(a: Tensor, b: Tensor) -> Tensor:
    """A bump of height 1 where both are equal."""
    rise = _above(a, b)
    return 4 * rise * (1 - rise)


def _soft_not(_node: Node, x: Tensor) -> Tensor:
    return 1 - _float(x, x)


def _soft_where(_node: Node, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The branch taken, and the step from one branch to the other for a condition with a gradient."""
    condition, a, b = together(condition, a, b)
    if condition.dtype == torch.bool:
        return torch.where(condition, a, b)
    taken = torch.where(condition > 0.5, a, b)
    step = (_float(a, b) - _float(b, a)).detach().nan_to_num(0.0, 0.0, 0.0)
    return taken + (condition - condition.detach()) * step


def _threshold(exact: Callable[[Tensor, Tensor], Tensor], soft: Callable[[Tensor, Tensor], Tensor]) -> Obstacle:
    return Obstacle(binary(in_order(exact)), THRESHOLDS, _soft(soft))


GREATER = _threshold(torch.gt, _above)
GREATER_OR_EQUAL = _threshold(torch.ge, _above)
LESS = _threshold(torch.lt, lambda a, b: _above(b, a))
LESS_OR_EQUAL = _threshold(torch.le, lambda a, b: _above(b, a))
EQUAL = _threshold(torch.eq, _near)
# These stop nothing by themselves: they pass on what a comparison in front of them lets through.
NOT = Obstacle(lambda _node, x: torch.logical_not(x), "", _soft_not)
AND = Obstacle(binary(torch.logical_and), "", _soft(torch.mul))
OR = Obstacle(binary(torch.logical_or), "", _soft(lambda a, b: a + b - a * b))
XOR = Obstacle(binary(torch.logical_xor), "", _soft(lambda a, b: a + b - 2 * a * b))
WHERE = Obstacle(where, "", _soft_where)
