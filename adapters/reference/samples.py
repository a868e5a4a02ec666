"""Who sees which of the digits: nobody trains on the test split, and thresholds are set on images of their own."""

import torch
from torch import Tensor

from ..data.digits import digits

_EVERY = 6
"""Every sixth image of the train split is kept from training."""


def training() -> tuple[Tensor, Tensor]:
    """What every network is trained on: x (1048, 1, 8, 8) in [0, 1] and y (1048,)."""
    return _part(spare=False)


def spare() -> tuple[Tensor, Tensor]:
    """Images of the train split that no network was trained on: x (209, 1, 8, 8) and y (209,)."""
    return _part(spare=True)


def _part(*, spare: bool) -> tuple[Tensor, Tensor]:
    x, y = map(torch.from_numpy, digits("train"))
    kept = (torch.arange(len(x)) % _EVERY == _EVERY - 1) == spare
    return x[kept], y[kept]
