"""k-winners-take-all: an activation that keeps the largest values of a layer and zeroes the rest.

Source: Xiao, Zhong and Zheng 2020, "Enhancing adversarial defense by k-winners-take-all", section 2.
"""

import torch
from torch import Tensor, nn


class KWinnersTakeAll(nn.Module):
    """Keep the `share` largest of all activations (N, ...) of each sample, at least one; the rest becomes 0.

    Values equal to the smallest winner win too, as in the authors' code, so that no order of memory decides. Autograd
    sees the mask as constant; what changes when winners change places is the discontinuity that defends.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"a share of {share} cannot win: give one above 0 and at most 1")
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """The winners in place, (N, ...)."""
        flat = x.flatten(1)
        edge = flat.topk(self.winners(flat.shape[1]), dim=1).values[:, -1]
        return torch.where(x >= edge.reshape(-1, *[1] * (x.dim() - 1)), x, torch.zeros_like(x))

    def winners(self, features: int) -> int:
        """k of a layer with that many activations per sample."""
        # The small number keeps 0.29 * 100 at 29.
        return max(1, int(self.share * features + 1e-9))

    def extra_repr(self) -> str:
        """What printing shows."""
        return f"share={self.share:g}"
