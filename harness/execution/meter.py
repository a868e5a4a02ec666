"""Counts every pass through the model, per sample and phase, forward and backward apart."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..results import PHASES, PassCount, Passes, Phase

Counts = npt.NDArray[np.int64]


class BudgetExhaustedError(Exception):
    """The evaluation's budget of passes is spent; the attack in progress is starved."""


@dataclass
class Meter:
    """Pass counters for `n` samples."""

    n: int
    budget: int | None = None
    on_pass: Callable[[int], None] | None = None
    """Called with the number of passes just made; the progress bar hangs here."""
    forward: dict[Phase, Counts] = field(init=False)
    backward: dict[Phase, Counts] = field(init=False)
    spent: int = 0
    elsewhere: dict[Phase, int] = field(default_factory=dict)
    """Forward passes of samples that are not evaluated."""

    def __post_init__(self) -> None:
        self.forward = {phase: np.zeros(self.n, np.int64) for phase in PHASES}
        self.backward = {phase: np.zeros(self.n, np.int64) for phase in PHASES}

    def count(self, phase: Phase, rows: Tensor, *, forward: int = 0, backward: int = 0) -> None:
        """Book passes for the samples at positions `rows` (repeats count each time).

        Raises:
            BudgetExhaustedError: an attack would exceed the budget; nothing is booked then.
        """
        total = len(rows) * (forward + backward)
        if self.budget is not None and phase in ("gradient", "blackbox") and self.spent + total > self.budget:
            raise BudgetExhaustedError(f"the budget of {self.budget:,} passes was spent")
        positions = rows.cpu().numpy()
        per_sample = np.bincount(positions, minlength=self.n)
        self.forward[phase] += forward * per_sample
        self.backward[phase] += backward * per_sample
        if phase in ("gradient", "blackbox"):
            self.spent += total
        if self.on_pass is not None:
            self.on_pass(total)

    def count_elsewhere(self, phase: Phase, passes: int) -> None:
        """Book forward passes of samples that are not among the `n`: held-out ones."""
        self.elsewhere[phase] = self.elsewhere.get(phase, 0) + passes
        if self.on_pass is not None:
            self.on_pass(passes)

    def totals(self) -> PassCount:
        """Sums over samples, and what was asked elsewhere."""
        forward = {p: int(self.forward[p].sum()) + self.elsewhere.get(p, 0) for p in PHASES}
        phases = {p: Passes(forward=forward[p], backward=int(self.backward[p].sum())) for p in PHASES}
        return PassCount(
            forward=sum(p.forward for p in phases.values()),
            backward=sum(p.backward for p in phases.values()),
            phases=phases,
        )

    def sample(self, position: int) -> Passes:
        """What one sample cost."""
        return Passes(
            forward=int(sum(self.forward[p][position] for p in PHASES)),
            backward=int(sum(self.backward[p][position] for p in PHASES)),
        )
