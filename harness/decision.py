"""What a target answers, when that answer is a break, and what an attack maximises."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from . import losses

LossName = Literal["ce", "margin", "dlr"]


@dataclass(frozen=True)
class Decision:
    """The answer to N questions: logits (N, K) and, from a detector, a rejection score (N,), rejected above 0."""

    logits: Tensor
    rejection: Tensor | None = None

    @property
    def accepted(self) -> Tensor:
        """Which answers the target stands by, (N,)."""
        if self.rejection is None:
            return torch.ones(len(self.logits), dtype=torch.bool, device=self.logits.device)
        return self.rejection <= 0

    @property
    def labels(self) -> Tensor:
        """The predicted class (N,); -1 where a logit is NaN, because that is no prediction."""
        usable = ~self.logits.isnan().any(dim=1)
        return torch.where(usable, self.logits.argmax(dim=1), torch.full_like(usable, -1, dtype=torch.int64))


@dataclass(frozen=True)
class Goal:
    """What counts as a break of N samples: any class but y (N,), or, with targets (N,), exactly that class."""

    y: Tensor
    targets: Tensor | None = None

    def select(self, index: Tensor) -> "Goal":
        """The goals of the samples at `index`."""
        return Goal(self.y[index], None if self.targets is None else self.targets[index])

    def fold(self, n: int) -> "Goal":
        """n copies of each sample's goal, sample-major."""
        return self.select(torch.arange(len(self.y), device=self.y.device).repeat_interleave(n))

    def to(self, device: str) -> "Goal":
        """The same goals on a device."""
        return Goal(self.y.to(device), None if self.targets is None else self.targets.to(device))

    def right(self, decision: Decision) -> Tensor:
        """Accepted and correct, (N,): what a clean sample has to be."""
        return decision.accepted & (decision.labels == self.y)

    def broken(self, decision: Decision) -> Tensor:
        """Accepted and wrong (or exactly the target class), (N,)."""
        if self.targets is None:
            return decision.accepted & (decision.labels != self.y)
        return decision.accepted & (decision.labels == self.targets)

    def score(self, decision: Decision) -> Tensor:
        """How far beyond the decision boundary, in logits, (N,): above 0 is a break.

        An answer with a NaN is no right answer: it scores inf for an untargeted goal, -inf for a targeted one. A
        rejected answer scores at most the negative of its rejection score.
        """
        unusable = decision.logits.isnan().any(dim=1)
        if self.targets is None:
            values = torch.where(unusable, torch.inf, losses.finite(losses.margin(decision.logits, self.y)))
        else:
            values = torch.where(
                unusable, -torch.inf, losses.finite(losses.margin_toward(decision.logits, self.targets))
            )
        return values if decision.rejection is None else torch.minimum(values, -decision.rejection)


@dataclass(frozen=True)
class Objective:
    """A loss that a gradient attack climbs; `toward` (N,) aims it at one class per sample.

    `weights` (N, K) replaces the loss by a weighted sum of the logits (a diversified direction).
    """

    loss: LossName
    goal: Goal
    toward: Tensor | None = None
    weights: Tensor | None = None

    def select(self, index: Tensor) -> "Objective":
        """The objective of the samples at `index`."""
        return Objective(
            self.loss,
            self.goal.select(index),
            None if self.toward is None else self.toward[index],
            None if self.weights is None else self.weights[index],
        )

    def fold(self, n: int) -> "Objective":
        """n copies of each sample's objective, sample-major."""
        return self.select(torch.arange(len(self.goal.y), device=self.goal.y.device).repeat_interleave(n))

    def __call__(self, decision: Decision) -> Tensor:
        """The loss per sample (N,), larger = more adversarial, the rejection score counted against it."""
        values = self._class_term(decision.logits)
        return values if decision.rejection is None else values - decision.rejection.clamp(min=0)

    def _class_term(self, logits: Tensor) -> Tensor:
        if self.weights is not None:
            return (self.weights * logits).sum(dim=1)
        y, targets = self.goal.y, self.goal.targets
        aim = self.toward if targets is None else targets
        if aim is None:
            return {"ce": losses.ce, "margin": losses.margin, "dlr": losses.dlr}[self.loss](logits, y)
        if self.loss == "ce":
            return losses.ce_toward(logits, aim)
        if self.loss == "dlr":
            return losses.dlr_toward(logits, y, aim)
        # Any wrong class will do when the goal is untargeted, so only the true class has to be overtaken.
        return losses.difference(logits, y, aim) if targets is None else losses.margin_toward(logits, aim)
