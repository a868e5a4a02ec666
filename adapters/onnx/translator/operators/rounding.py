"""Round, Floor, Ceil and Sign: flat almost everywhere, the identity or a soft step on the way back.

Source: Bengio et al. 2013 (straight-through estimator).
"""

import torch
from torch import Tensor

from ....soft import soft_sign
from ..node import Node
from .arithmetic import unary
from .obstacle import ROUNDS, Obstacle


def _identity(_node: Node, x: Tensor) -> Tensor:
    return x


def _soft(_node: Node, x: Tensor) -> Tensor:
    return soft_sign(x)


ROUND = Obstacle(unary(torch.round), ROUNDS, _identity)
FLOOR = Obstacle(unary(torch.floor), ROUNDS, _identity)
CEIL = Obstacle(unary(torch.ceil), ROUNDS, _identity)
SIGN = Obstacle(unary(torch.sign), "keeps only the sign, the gradient is zero", _soft)
