"""How many draws a mean gradient needs: doubled until two independent halves point the same way.

Source: the averaging of Athalye et al. 2018, "Synthesizing robust adversarial examples", with a number of draws that is
measured instead of fixed.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..geometry import per_sample

ENOUGH = 0.5
"""Mean cosine between the two halves; that of either to the true mean is then about its root, 0.7."""
CAP = 500

Half = Callable[[int, int], Tensor]
"""(k, which) to the mean gradient (N, ...) over k draws that no other call shares."""


def enough_draws(half: Half, *, start: int = 1, cap: int = CAP, enough: float = ENOUGH) -> tuple[int, float]:
    """The number of draws at which two means agree, and the mean cosine between them over the samples.

    Every draw is used again: the mean of both halves is the first half of the next round, so that k draws are settled
    with 2 k questions. At the cap the cosine tells how far from enough it is. A sample whose gradient is zero or no
    number agrees with nothing. Call `half` with `which` 0 once, in the first round.
    """
    k = min(start, cap)
    first, second = half(k, 0), half(k, 1)
    while True:
        found = float(cosines(first, second).mean()) if len(first) else 1.0
        if found >= enough or k >= cap:
            return k, found
        k = min(2 * k, cap)
        first, second = (first + second) / 2, half(k, 1)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """The cosine between two gradients of each sample (N,); 0 where one of them is zero or not finite."""
    units = [_unit(gradient) for gradient in (a, b)]
    return (units[0] * units[1]).flatten(1).sum(dim=1)


def _unit(gradient: Tensor) -> Tensor:
    largest = gradient.flatten(1).abs().amax(dim=1)
    usable = largest.isfinite() & (largest > 0)
    # Scaled first: squares of very small or large gradients leave float32.
    scaled = gradient.double() / per_sample(torch.where(usable, largest, 1.0).double(), gradient)
    scaled = torch.where(per_sample(usable, gradient), scaled, 0.0)
    return scaled / per_sample(scaled.flatten(1).norm(dim=1).clamp(min=1e-12), gradient)
