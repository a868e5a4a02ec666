"""Slopes from values alone: both ends of a displacement inside the box, and what the loss gains between them.

Where a wall of [0, 1] cuts an end off, the displacement that was really made is the one that counts: a slope is always
a rise divided by the distance between the two points that were asked. For a linear loss that is right at every wall;
for another the slope belongs to the middle of the two points, which a wall moves by at most half a step into the box.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..geometry import per_sample
from .cleaned import cleaned

Ask = Callable[[Tensor], Tensor]
"""Points (N, M, ...) in [0, 1] to the deployed loss at each, (N, M).

Every point of a sample, in this call and in the next, has to meet the same draws of a random target: then the noise
that both ends share cancels.
"""
Directions = Callable[[int, int], Tensor]
"""Number of a block and how many directions it holds, M, to displacements (N, M, ...) before any wall."""

_DRAWN = 1 << 13
_AT_ONCE = 64
NUMBERS = 1 << 22
"""Of points that are asked about at once, unless a single pair of ends for every sample is more."""


def ends(x: Tensor, move: Tensor) -> tuple[Tensor, Tensor]:
    """x (N, ...) plus and minus `move` (N, M, ...), each inside the box."""
    return (x[:, None] + move).clamp_(0.0, 1.0), (x[:, None] - move).clamp_(0.0, 1.0)


def rises(ask: Ask, ahead: Tensor, behind: Tensor) -> Tensor:
    """The loss at points `ahead` (N, M, ...) less that at points `behind`, (N, M)."""
    values = ask(torch.cat([ahead, behind], dim=1)).detach()
    return values[:, : ahead.shape[1]] - values[:, ahead.shape[1] :]


def averaged(ask: Ask, x: Tensor, draw: Directions, *, count: int, moment: Tensor) -> Tensor:
    """The mean over `count` random displacements d of (rise over d) * d / E[d^2], feature by feature, (N, ...).

    With E[d] = 0 and independent features that is the slope of a linear loss on average, whatever the walls cut off;
    `moment` (N, ...) is E[d^2] of what they leave. A pair of ends with a NaN says nothing and does not count; an
    infinite rise counts as the largest finite one.
    """
    # Neither the draws nor the order of the sum may depend on how many samples are asked about together.
    width = max(1, min(_AT_ONCE, _DRAWN // max(1, x[0].numel())))
    blocks = [(number, min(width, count - first)) for number, first in enumerate(range(0, count, width))]
    found = torch.cat([rises(ask, *ends(x, draw(number, m))) for number, m in blocks], dim=1)
    weights = cleaned(found).to(x.dtype)
    total = torch.zeros_like(x)
    for number, m in blocks:
        ahead, behind = ends(x, draw(number, m))
        for k in range(m):
            weight = per_sample(weights[:, number * width + k], x)
            total.addcmul_(ahead[:, k] - behind[:, k], weight)
    counted = (~found.isnan()).sum(dim=1).clamp(min=1)
    return total / (per_sample(counted, x) * moment.clamp(min=1e-30))
