"""An ensemble whose members vote.

Source: Strauss et al. 2017, "Ensemble methods as a defense to adversarial perturbations", section 3; attacked as in
Sen et al. 2020 (EMPIR) and Tramer et al. 2020, section 4: through the mean probability.
"""

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..classifier import Classifier, Forward, GradientKind
from ..model_info import ModelInfo, Twin

_TIE = 1e-3
"""Of one vote: what the mean probability decides where votes are equal."""
_NO_SHARE = 1e-30


@dataclass(frozen=True)
class VotingEnsemble:
    """Classifiers behind the Classifier contract: the class with most votes wins, the mean probability breaks ties.

    Logits are the logarithm of the vote shares, to which each class's mean probability adds a thousandth of a vote. A
    member that answers with a NaN votes for nobody.
    """

    members: tuple[Classifier, ...]
    name: str = "ensemble"

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("an ensemble without members cannot vote")

    @property
    def info(self) -> ModelInfo:
        """The contract of the first member, and what a vote does to a gradient."""
        infos = [member.info for member in self.members]
        obstacles = {key: effect for info in infos for key, effect in info.obstacles.items()}
        hashes = [info.sha256 for info in infos]
        update = {
            "name": self.name,
            "output": "logits",
            "sha256": None if None in hashes else hashlib.sha256("".join(map(str, hashes)).encode()).hexdigest(),
            "obstacles": {"vote": f"counts the votes of {len(infos)} members, the gradient is zero"} | obstacles,
            "gradients_inside": sum(info.gradients_inside for info in infos),
            "rewrites_itself": any(info.rewrites_itself for info in infos),
            "random_operators": tuple(sorted({name for info in infos for name in info.random_operators})),
            "twin": self._twin(),
            "notes": tuple(dict.fromkeys(note for info in infos for note in info.notes)),
        }
        return infos[0].model_copy(update=update)

    def logits(self, x: Tensor) -> Tensor:
        """The deployed forward, (N, K) without a gradient."""
        with torch.no_grad():
            return _vote(torch.stack([member.logits(x) for member in self.members]))

    def differentiable(self, gradient: GradientKind = "exact") -> Forward | None:
        """For "bpda" the vote with the gradient of the log mean probability; a vote has no exact one."""
        if gradient == "exact":
            return None
        twins = [member.differentiable("bpda") or member.differentiable() for member in self.members]
        forwards = [twin for twin in twins if twin is not None]
        if len(forwards) < len(twins):
            return None

        def forward(x: Tensor) -> Tensor:
            logits = torch.stack([twin(x) for twin in forwards])
            mean = _log_mean(logits)
            # Straight-through: the value of the vote bit for bit, and no gradient where a member has no number.
            return _vote(logits.detach()) + (mean - mean.detach()).nan_to_num(0.0)

        return forward

    def _twin(self) -> Twin:
        if not all(member.info.twin.available for member in self.members):
            return Twin(available=False, reason="a member has no differentiable twin")
        return Twin(available=True, reason="the vote, with the gradient of the mean probability")


def _vote(logits: Tensor) -> Tensor:
    """Log vote shares (N, K) from the members' logits (M, N, K); NaN where no member can answer."""
    usable = ~logits.isnan().any(dim=2, keepdim=True)
    votes = functional.one_hot(logits.nan_to_num(-math.inf).argmax(dim=2), logits.shape[2]).to(logits.dtype)
    chances = torch.softmax(logits, dim=2).nan_to_num(0.0)
    shares = (torch.where(usable, votes, 0.0) + _TIE * chances).mean(dim=0)
    answer = shares.clamp(min=_NO_SHARE).log()
    return torch.where(usable.any(dim=0), answer, torch.full_like(answer, math.nan))


def _log_mean(logits: Tensor) -> Tensor:
    """The logarithm of the mean probability, (N, K)."""
    return functional.log_softmax(logits, dim=2).logsumexp(dim=0) - math.log(len(logits))
