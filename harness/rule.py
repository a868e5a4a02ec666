"""How a random model is deployed: on one draw, on the majority of k, or on the mean of k."""

import math
import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .decision import Decision
from .errors import UsageError

_TIE = 1e-3
"""Of one vote: what the mean probability decides where votes are equal."""
_MOST = 1000


@dataclass(frozen=True)
class Rule:
    """The declared decision rule: how many draws one answer of the product rests on, and how they are joined."""

    kind: Literal["single", "majority", "mean"] = "single"
    draws: int = 1

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """`single`, `majority: k` or `mean: k`.

        Raises:
            UsageError: it says none of them, or is no text.
        """
        if not isinstance(text, str):
            raise UsageError(f"decision rule {text!r} is no text; give 'single', 'majority:K' or 'mean:K'")
        if text.strip() == "single":
            return cls()
        match = re.fullmatch(r"\s*(majority|mean)\s*[:=]\s*(\d{1,6})\s*", text)
        if match is None or not 2 <= int(match[2]) <= _MOST:
            raise UsageError(
                f"decision rule {text!r} is not known; give single, majority:K or mean:K with K from 2 to {_MOST}"
            )
        return cls("majority" if match[1] == "majority" else "mean", int(match[2]))

    def __str__(self) -> str:
        return self.kind if self.kind == "single" else f"{self.kind}:{self.draws}"

    def combine(self, decision: Decision, draws: int) -> Decision:
        """The product's answers (N, ...) from `draws` draws for each of N questions, sample-major.

        A draw whose answer holds a NaN votes for nobody; a mean that holds one is NaN.
        """
        if self.kind == "majority":
            return _majority(decision, draws)
        return average(decision, draws)


def average(decision: Decision, draws: int, *, known: bool = False) -> Decision:
    """The logarithm of the mean probabilities, and the mean rejection score; differentiable.

    With `known`, a draw whose answer holds a NaN does not count beside others that hold none: one draw that says
    nothing must not hide from an attack what the others say.

    Source: Athalye et al. 2018, "Obfuscated gradients", appendix (averaged predictors: differentiate the mean).
    """
    if draws == 1:
        return decision
    if known and bool(decision.logits.isnan().any()):
        return _average_known(decision, draws)
    chances = functional.log_softmax(decision.logits, dim=1)
    folded = chances.reshape(-1, draws, chances.shape[1])
    logits = folded.logsumexp(dim=1) - math.log(draws)
    rejection, features = decision.rejection, decision.features
    return Decision(
        logits,
        None if rejection is None else rejection.reshape(-1, draws).mean(dim=1),
        None if features is None else features.reshape(-1, draws, features.shape[1]).mean(dim=1),
    )


def _average_known(decision: Decision, draws: int) -> Decision:
    """`average` over the draws without a NaN; over all of them where each has one."""
    lost = decision.logits.isnan().any(dim=1).reshape(-1, draws)
    lost = lost & ~lost.all(dim=1, keepdim=True)
    count = draws - lost.sum(dim=1, keepdim=True)

    def folded(values: Tensor) -> Tensor:
        """(N, draws, ...) with 0 for what does not count: NaN times 0 would be NaN on the way back."""
        values = values.reshape(-1, draws, *values.shape[1:])
        return torch.where(lost.reshape(*lost.shape, *[1] * (values.dim() - 2)), 0.0, values)

    chances = functional.log_softmax(folded(decision.logits), dim=2)
    logits = torch.where(lost[:, :, None], -math.inf, chances).logsumexp(dim=1) - count.log()
    rejection, features = decision.rejection, decision.features
    return Decision(
        logits,
        None if rejection is None else folded(rejection).sum(dim=1) / count[:, 0],
        None if features is None else folded(features).sum(dim=1) / count,
    )


def _majority(decision: Decision, draws: int) -> Decision:
    logits, labels, accepted = decision.logits, decision.labels, decision.accepted
    classes = logits.shape[1]
    counted = (labels >= 0) & accepted
    if decision.rejection is not None:
        # Where every draw is rejected the votes say what would have been answered.
        none = ~counted.reshape(-1, draws).any(dim=1).repeat_interleave(draws)
        counted = counted | (none & (labels >= 0))
    votes = functional.one_hot(labels.clamp(min=0), classes).to(logits.dtype) * counted[:, None]
    chances = torch.softmax(logits, dim=1).nan_to_num(0.0)
    shares = (votes + _TIE * chances).reshape(-1, draws, classes).mean(dim=1)
    nobody = ~(labels >= 0).reshape(-1, draws).any(dim=1)
    answer = shares.clamp(min=1e-30).log()
    answer = torch.where(nobody[:, None], torch.full_like(answer, math.nan), answer)
    rejection = None
    if decision.rejection is not None:
        rejection = (~accepted).reshape(-1, draws).to(logits.dtype).mean(dim=1) - 0.5
    return Decision(answer, rejection)
