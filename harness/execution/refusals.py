"""What is known of a deterministic detector's scores: of every clean sample, and the lowest at which it was wrong."""

import torch
from torch import Tensor

from ..decision import Goal
from .replay import Replayed


class Refusals:
    """Per sample, on the CPU: raw rejection scores, as they are before a threshold is taken off."""

    def __init__(self, x: Tensor) -> None:
        n = len(x)
        self.clean = torch.full((n,), torch.nan, dtype=torch.float64)
        """Of the clean sample; NaN where it was not asked."""
        self.right = torch.zeros(n, dtype=torch.bool)
        """Whether the clean sample got its class, accepted or not."""
        self.least = torch.full((n,), torch.inf, dtype=torch.float64)
        """The lowest at which any replayed candidate was wrong, the clean sample being one; inf where none was."""
        self.x = x.clone()
        """Those candidates (n, ...), in model units; the clean sample where there is none."""
        self.attacked = torch.zeros(n, dtype=torch.bool)
        """Whether any attack has come to its end on this sample, at whatever threshold."""

    def see_clean(self, rows: Tensor, seen: Replayed, goal: Goal, threshold: float) -> None:
        """Take in the clean samples at `rows`, replayed with that threshold."""
        if seen.rejection is None:
            return
        self.clean[rows] = seen.rejection + threshold
        self.right[rows] = seen.label == goal.y
        self._lower(rows, None, seen, goal, threshold)

    def see(self, rows: Tensor, x: Tensor, seen: Replayed, goal: Goal, threshold: float) -> None:
        """Take in candidates x (N, ...) for the samples at `rows`, one each, replayed with that threshold."""
        if seen.rejection is not None:
            self.attacked[rows] = True
            self._lower(rows, x, seen, goal, threshold)

    def _lower(self, rows: Tensor, x: Tensor | None, seen: Replayed, goal: Goal, threshold: float) -> None:
        assert seen.rejection is not None
        wrong = seen.label != goal.y if goal.targets is None else seen.label == goal.targets
        score = seen.rejection + threshold
        lower = wrong & (score < self.least[rows])
        chosen = rows[lower]
        self.least[chosen] = score[lower]
        if x is not None:
            self.x[chosen] = x[lower]
