"""What a target answers, when that answer is a break, and what an attack maximises."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from . import losses, rejection
from .errors import NoGradientError

LossName = Literal["ce", "margin", "dlr", "joint", "two-phase", "reject-class", "match", "match-features"]
Term = Literal["class", "acceptance"]

DETECTOR_LOSSES: tuple[LossName, ...] = ("joint", "two-phase", "reject-class")
"""Losses that mean something only where a target may refuse to answer."""
MATCHING_LOSSES: tuple[LossName, ...] = ("match", "match-features")
"""Losses that lead to the answer that another sample gets."""
TWO_TERMS: tuple[LossName, ...] = ("joint", "two-phase")
"""Losses whose gradient is joined from those of two terms, each in a unit of its own."""


@dataclass(frozen=True)
class Decision:
    """The answer to N questions: logits (N, K) and, from a detector, a rejection score (N,), rejected above 0."""

    logits: Tensor
    rejection: Tensor | None = None
    features: Tensor | None = None
    """Of the classifier's penultimate layer (N, F), where they were asked for."""

    @property
    def parts(self) -> list[Tensor]:
        """Logits, and the rejection score and the features where they are there."""
        return [part for part in (self.logits, self.rejection, self.features) if part is not None]

    def like(self, parts: Sequence[Tensor]) -> "Decision":
        """A decision of the same parts with other values."""
        values = iter(parts)
        logits = next(values)
        score = None if self.rejection is None else next(values)
        return Decision(logits, score, None if self.features is None else next(values))

    def detach(self) -> "Decision":
        """The same answers without a gradient."""
        return self.like([part.detach() for part in self.parts])

    @classmethod
    def cat(cls, decisions: Sequence["Decision"]) -> "Decision":
        """The answers of several batches, one after the other."""
        return decisions[0].like([torch.cat(parts) for parts in zip(*(d.parts for d in decisions), strict=True)])

    @classmethod
    def cat_draws(cls, decisions: Sequence["Decision"], n: int) -> "Decision":
        """Some draws for each of n samples at a time, put together sample-major as leaves that take a gradient."""
        joined = [
            torch.cat([part.reshape(n, -1, *part.shape[1:]) for part in parts], dim=1).flatten(0, 1)
            for parts in zip(*(d.parts for d in decisions), strict=True)
        ]
        return decisions[0].like([part.detach().requires_grad_(True) for part in joined])

    @property
    def accepted(self) -> Tensor:
        """Which answers the target stands by, (N,)."""
        if self.rejection is None:
            return torch.ones(len(self.logits), dtype=torch.bool, device=self.logits.device)
        # A score that is no number is not above the threshold, so a product would let it pass.
        return ~(self.rejection > 0)

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
        if decision.rejection is None:
            return values
        return torch.minimum(values, -decision.rejection.nan_to_num(-torch.inf, torch.inf, -torch.inf))


@dataclass(frozen=True)
class Objective:
    """A loss that a gradient attack climbs; `toward` (N,) aims it at one class per sample.

    `weights` (N, K) replaces the loss by a weighted sum of the logits (a diversified direction).
    """

    loss: LossName
    goal: Goal
    toward: Tensor | None = None
    weights: Tensor | None = None
    guide: Tensor | None = None
    """Logits (N, K) or features (N, F) of the sample that a matching loss imitates."""
    term: Term | None = None
    """One of the two terms of a loss that has two, by itself."""

    def select(self, index: Tensor) -> "Objective":
        """The objective of the samples at `index`."""
        return replace(
            self,
            goal=self.goal.select(index),
            toward=None if self.toward is None else self.toward[index],
            weights=None if self.weights is None else self.weights[index],
            guide=None if self.guide is None else self.guide[index],
        )

    def fold(self, n: int) -> "Objective":
        """n copies of each sample's objective, sample-major."""
        return self.select(torch.arange(len(self.goal.y), device=self.goal.y.device).repeat_interleave(n))

    @property
    def terms(self) -> tuple["Objective", ...]:
        """The objectives whose losses and gradients `joined` makes one of; itself where the loss is one term."""
        if self.loss not in TWO_TERMS or self.term is not None or self.weights is not None:
            return (self,)
        return replace(self, term="class"), replace(self, term="acceptance")

    def joined(self, values: Sequence[Tensor], gradients: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Loss (N,) and gradient (N, ...) from those of the `terms`, each averaged over a random target's draws."""
        if len(values) == 1:
            return values[0], gradients[0]
        join = rejection.joint if self.loss == "joint" else rejection.phased
        return join((values[0], values[1]), (gradients[0], gradients[1]))

    def __call__(self, decision: Decision) -> Tensor:
        """The loss per sample (N,), larger = more adversarial, the rejection score counted against it.

        Of a loss of two terms this is the smaller one; `terms` and `joined` weigh them.
        """
        if self.weights is not None:
            values = (self.weights * decision.logits).sum(dim=1)
        elif self.loss in MATCHING_LOSSES:
            return self._match(decision)
        elif self.loss in DETECTOR_LOSSES:
            return self._accepted_and_wrong(decision)
        else:
            values = self._class_term(decision.logits)
        return values if decision.rejection is None else values - rejection.penalty(decision.rejection)

    def _accepted_and_wrong(self, decision: Decision) -> Tensor:
        score = decision.rejection
        if self.term == "acceptance":
            return rejection.acceptance(decision.logits[:, 0] * 0 - 1 if score is None else score)
        if self.term == "class" or score is None:
            return self._class_term(decision.logits)
        if self.loss != "reject-class":
            return self._class_term(decision.logits).minimum(rejection.acceptance(score))
        y, targets = self.goal.y, self.goal.targets
        aim = self.toward if targets is None else targets
        if aim is None:
            return rejection.reject_class(decision.logits, score, y)
        return rejection.reject_class_toward(decision.logits, score, y, aim, exactly=targets is not None)

    def _match(self, decision: Decision) -> Tensor:
        answers = decision.logits if self.loss == "match" else decision.features
        if self.guide is None or answers is None:
            raise NoGradientError(f"{self.loss} has no sample to imitate, or the model offers no features")
        return -rejection.unlikeness(answers, self.guide)

    def _class_term(self, logits: Tensor) -> Tensor:
        y, targets = self.goal.y, self.goal.targets
        aim = self.toward if targets is None else targets
        if aim is None:
            return {"ce": losses.ce, "dlr": losses.dlr}.get(self.loss, losses.margin)(logits, y)
        if self.loss == "ce":
            return losses.ce_toward(logits, aim)
        if self.loss == "dlr":
            return losses.dlr_toward(logits, y, aim)
        # Any wrong class will do when the goal is untargeted, so only the true class has to be overtaken.
        return losses.difference(logits, y, aim) if targets is None else losses.margin_toward(logits, aim)
