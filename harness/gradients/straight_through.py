"""One forward, another backward."""

from torch import Tensor


def straight_through(exact: Tensor, surrogate: Tensor) -> Tensor:
    """The value of `exact`, bit for bit, with the gradient of `surrogate`.

    Source: Bengio et al. 2013 (straight-through); Athalye et al. 2018, section 4.1 (exact forward at every step).
    """
    return exact.detach() + (surrogate - surrogate.detach())
