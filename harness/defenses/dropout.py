"""Dropout that stays on at inference.

Source: Feinman et al. 2017, "Detecting adversarial samples from artifacts", section 4.2 (dropout as a random network);
Dhillon et al. 2018, "Stochastic activation pruning" (the same idea by size).
"""

from torch import Tensor, nn
from torch.nn import functional


class InferenceDropout(nn.Module):
    """Zero each activation with probability `p` and scale the others by 1 / (1 - p), in training mode and out of it.

    Draws come from torch's generator, as in any module of a third party: whoever calls it keeps that generator apart.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"activations cannot be dropped with probability {p}: give one from 0 to below 1")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Activations (N, ...) with fresh holes."""
        return functional.dropout(x, self.p, training=True)

    def extra_repr(self) -> str:
        """What printing shows."""
        return f"p={self.p:g}"
