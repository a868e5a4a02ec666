"""One forward, another backward."""

import torch
from torch import Tensor


def straight_through(exact: Tensor, surrogate: Tensor) -> Tensor:
    """The value of `exact`, bit for bit, with the gradient of `surrogate`.

    Source: Bengio et al. 2013 (straight-through); Athalye et al. 2018, section 4.1 (exact forward at every step).
    """
    nothing = surrogate - surrogate.detach()
    # where the surrogate is infinite its difference to itself would be NaN, and no gradient either
    return exact.detach() + torch.where(nothing.isnan(), torch.zeros_like(nothing), nothing)
