"""What gradient questions were answered while an attack ran: per sample, how the loss moved and whether it had a slope.

Source: Pintor et al. 2022, "Indicators of attack failure", whose indicators read such records.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..target import Answer


@dataclass(frozen=True)
class Seen:
    """One gradient question about some samples, (M,) each, on the device of the attack."""

    rows: Tensor
    """Positions in the data set."""
    loss: Tensor
    score: Tensor
    dead: Tensor
    """The gradient was zero everywhere or not finite."""
    broken: Tensor


@dataclass
class Trace:
    """Every question in order. One trace belongs to one attack on one block of samples."""

    seen: list[Seen] = field(default_factory=list)

    def see(self, rows: Tensor, answer: Answer) -> None:
        """Write down the answer to one question."""
        size = answer.gradient.flatten(1).abs().sum(dim=1)
        dead = ~(size.isfinite() & (size > 0))
        self.seen.append(Seen(rows, answer.loss.detach(), answer.score.detach(), dead, answer.broken))

    def pulse(self, rows: Tensor) -> "Pulse":
        """Sums for the samples at `rows` (N,), on the CPU."""
        asked, dead = torch.zeros(len(rows)), torch.zeros(len(rows))
        least, most = torch.full((len(rows),), torch.inf), torch.full((len(rows),), -torch.inf)
        place = torch.full((int(rows.max()) + 1 if len(rows) else 1,), -1)
        place[rows] = torch.arange(len(rows))
        for each in self.seen:
            where, loss = place[each.rows.cpu()], each.loss.float().cpu()
            asked.index_add_(0, where, torch.ones(len(where)))
            dead.index_add_(0, where, each.dead.float().cpu())
            finite = loss.isfinite()
            least.scatter_reduce_(0, where[finite], loss[finite], "amin")
            most.scatter_reduce_(0, where[finite], loss[finite], "amax")
        return Pulse(rows, asked, dead, (most - least).clamp(min=0).nan_to_num(0.0, 0.0, 0.0))

    def losses(self, row: int) -> list[float]:
        """The losses of one sample, question by question."""
        found: list[float] = []
        for each in self.seen:
            found += each.loss[each.rows == row].float().cpu().tolist()
        return found


@dataclass(frozen=True)
class Pulse:
    """What the gradient questions about N samples came to, (N,) each, on the CPU."""

    rows: Tensor
    asked: Tensor
    """How many questions."""
    dead: Tensor
    """How many of them were answered with a zero gradient or none."""
    moved: Tensor
    """Largest less smallest finite loss; 0 where there was none."""
