"""Softmax, LogSoftmax and Hardmax: over the flattened rest before opset 13, over one axis since."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node
from .obstacle import SORTS, Obstacle
from .values import Operator


def _hardmax(x: Tensor, dim: int) -> Tensor:
    best = torch.argmax(x, dim=dim, keepdim=True)
    return torch.zeros_like(x).scatter(dim, best, 1.0)


def _flattened(function: Callable[[Tensor, int], Tensor]) -> Operator:
    def forward(node: Node, x: Tensor) -> Tensor:
        axis = node.integer("axis", 1) % max(x.dim(), 1)
        rows = 1
        for size in x.shape[:axis]:
            rows *= size
        return function(x.reshape(rows, -1), 1).reshape(x.shape)

    return forward


def _along_axis(function: Callable[[Tensor, int], Tensor]) -> Operator:
    def forward(node: Node, x: Tensor) -> Tensor:
        return function(x, node.integer("axis", -1))

    return forward


softmax_1 = _flattened(torch.softmax)
softmax_13 = _along_axis(torch.softmax)
log_softmax_1 = _flattened(functional.log_softmax)
log_softmax_13 = _along_axis(functional.log_softmax)
HARDMAX_1 = Obstacle(_flattened(_hardmax), SORTS, softmax_1)
HARDMAX_13 = Obstacle(_along_axis(_hardmax), SORTS, softmax_13)
