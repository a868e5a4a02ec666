"""Operators that work on single numbers or move them: sigmoid, leaky ReLU, Concat and Where on quantised data."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...node import Node
from ..activations import leaky_relu
from ..values import together
from .calculation import Calculation, quantising
from .levels import Levels, levels


def real(how: Calculation, node: Node, x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    """The floats that whole numbers stand for; one scale and one zero point."""
    x, scale = together(x, scale)
    return how.centred(node, x, None if zero is None else zero.reshape(-1)[:1].reshape(())) * scale.reshape(())


def _sigmoid(_node: Node, x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def _through(function: Callable[[Node, Tensor], Tensor]) -> Callable[..., Tensor]:
    def forward(
        how: Calculation,
        node: Node,
        x: Tensor,
        x_scale: Tensor,
        x_zero: Tensor | None,
        y_scale: Tensor,
        y_zero: Tensor | None = None,
    ) -> Tensor:
        y = function(node, real(how, node, x, x_scale, x_zero)) / y_scale.reshape(())
        return how.settled(y, levels(node, 4, y_zero, x), how.offset(node, y_zero, x))

    return forward


def _moved(
    how: Calculation, node: Node, part: tuple[Tensor, Tensor, Tensor | None], scale: Tensor, at: Levels, zero: Tensor
) -> Tensor:
    """Numbers of one scale as numbers of another."""
    return how.settled(real(how, node, *part) / scale.reshape(()), at, zero)


def _concat(how: Calculation, node: Node, y_scale: Tensor, y_zero: Tensor, *rest: Tensor) -> Tensor:
    """Inputs as (numbers, scale, zero point), one after the other."""
    at, zero = levels(node, 1, y_zero), how.offset(node, y_zero, y_scale)
    parts = zip(rest[0::3], rest[1::3], rest[2::3], strict=True)
    return torch.cat([_moved(how, node, part, y_scale, at, zero) for part in parts], dim=node.integer("axis", 0))


def _where(
    how: Calculation,
    node: Node,
    condition: Tensor,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    y: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    z_scale: Tensor,
    z_zero: Tensor,
) -> Tensor:
    condition, x, y = together(condition, x, y)
    at, zero = levels(node, 8, z_zero), how.offset(node, z_zero, x)
    left = _moved(how, node, (x, x_scale, x_zero), z_scale, at, zero)
    return torch.where(condition > 0.5, left, _moved(how, node, (y, y_scale, y_zero), z_scale, at, zero))


SIGMOID = quantising(_through(_sigmoid))
LEAKY_RELU = quantising(_through(leaky_relu))
CONCAT = quantising(_concat)
WHERE = quantising(_where)
