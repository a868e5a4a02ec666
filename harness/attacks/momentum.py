"""Momentum on gradients; of a random target on their means over the draws, because those are what it answers.

Source: Dong et al. 2018, "Boosting adversarial attacks with momentum", equation 6.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import per_sample

_TINY = 1e-12


@dataclass
class Momentum:
    """Per sample the sum of all gradients so far, each at a mean size of 1, what is older fading by `share` a step.

    Deviation: sizes are means over the features where the source takes sums, which changes no direction.
    """

    share: float
    """0 hands gradients on as they are."""
    velocity: Tensor

    @classmethod
    def begin(cls, share: float, like: Tensor) -> "Momentum":
        """Nothing to remember yet for samples like these (N, ...)."""
        return cls(share, torch.zeros_like(like))

    def __call__(self, gradient: Tensor, rows: Tensor | None = None) -> Tensor:
        """The direction to step along after `gradient`, both (N, ...), or (M, ...) for the samples at `rows` (M,)."""
        if self.share <= 0:
            return gradient
        scale = per_sample(gradient.flatten(1).abs().mean(dim=1), gradient).clamp(min=_TINY)
        if rows is None:
            self.velocity = self.share * self.velocity + gradient / scale
            return self.velocity
        self.velocity[rows] = self.share * self.velocity[rows] + gradient / scale
        return self.velocity[rows]

    def forget(self, which: Tensor) -> None:
        """Begin again with the samples of a mask (N,): they have been moved to another place."""
        self.velocity = torch.where(per_sample(which, self.velocity), 0.0, self.velocity)

    def select(self, index: Tensor) -> "Momentum":
        """The same for the samples at `index`."""
        return Momentum(self.share, self.velocity[index])
