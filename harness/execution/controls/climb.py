"""What experiments on standing samples share: the plan's own attack as a starting point, and how far others climb."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attacks.apgd import APGD
from ...attacks.fgsm import FGSM
from ...attacks.pgd import PGD
from ...decision import MATCHING_LOSSES, LossName
from ...diagnosis.more import Variant, Variants
from ...planner import Step
from ..lab import Lab, Tried
from ..scoring import SELECTION_DRAWS

Climber = PGD | APGD
EVERYONE = 1000
"""Standing samples at most on which an attack that broke one more of the sample is repeated."""


def climber(step: Step) -> Climber | None:
    """The step's attack as one start of PGD or APGD, aimed at the likeliest class where it aims at classes.

    One FGSM step is one step of PGD. None for attacks of another kind, and for losses that need a sample to imitate.
    """
    config = step.request.config
    if isinstance(config, FGSM):
        return PGD(loss=config.loss, steps=1, start="random" if config.random_start else "sample")
    if not isinstance(config, Climber) or config.loss in MATCHING_LOSSES:
        return None
    return config.model_copy(update={"restarts": 1, "targets": min(1, config.targets)})


def climbers(lab: Lab) -> list[tuple[Step, Climber]]:
    """The plan's attacks on every sample that can be cut short or drawn out, in order; PGD where it has none.

    An entry that the run revised is left out for what it was revised to.
    """
    found = [step for step in lab.direct if step.request.closest == 1 and step.request.samples is None]
    revised = {step.revises: step for step in found if step.revises}
    latest = dict.fromkeys(revised.get(step.request.name, step).request.name for step in found)
    by_name = {step.request.name: step for step in found}
    pairs = [(by_name[name], climber(by_name[name])) for name in latest]
    usable = [(step, config) for step, config in pairs if config is not None]
    return usable or [(lab.main, PGD(loss=plain_loss(lab), steps=20))]


def plain_loss(lab: Lab) -> LossName:
    """The loss that fits the target when the plan names none."""
    return "joint" if lab.campaign.pipeline.rejects else "margin"


def shortened(config: Climber, steps: int) -> Climber:
    """The same attack with so many steps at most."""
    return config.model_copy(update={"steps": min(config.steps, steps)})


@dataclass
class Heights:
    """How close M samples came to falling so far, against where they began, in logits; 0 is the boundary."""

    clean: Tensor
    best: Tensor
    noisy: bool = False
    """Whether a score is a mean over draws: the higher one of two is luck, so gains and losses are summed there."""

    @classmethod
    def of(cls, lab: Lab, rows: Tensor) -> "Heights":
        """What the plan's worst cases came to; of a random target on fresh draws, by which nothing was chosen."""
        campaign = lab.campaign
        x = campaign.ball.select(rows).x
        clean = _height(lab.judged(rows, x, key="clean").score)
        if not campaign.pipeline.random:
            return cls(clean, torch.maximum(clean, _height(lab.plan.score[rows], clean)))
        seen = campaign.replay(
            lab.plan.x[rows],
            rows,
            campaign.goal(rows),
            phase="controls",
            draws=SELECTION_DRAWS,
            key=f"{lab.name}/worst",
            clean=False,
        )
        return cls(clean, torch.maximum(clean, _height(seen.score, clean)), noisy=True)

    def climb(self, tried: Tried) -> float:
        """By how much the points found lie above the best so far, as a share of what was climbed until then."""
        more = _height(tried.score, self.best) - self.best
        more = more if self.noisy else more.clamp(min=0)
        return max(0.0, float(more.sum() / self.climbed))

    @property
    def climbed(self) -> Tensor:
        """Sum over the samples; never nothing, or whatever follows would be endlessly more."""
        floor = 1e-3 * self.clean.abs().sum() + 1e-12
        return torch.maximum((self.best - self.clean).sum(), floor)

    def raised(self, tried: Tried) -> "Heights":
        """With those points taken in."""
        return Heights(self.clean, torch.maximum(self.best, _height(tried.score, self.best)), self.noisy)

    def select(self, keep: Tensor) -> "Heights":
        """Those of some of the samples."""
        return Heights(self.clean[keep], self.best[keep], self.noisy)


def _height(score: Tensor, otherwise: Tensor | None = None) -> Tensor:
    """Beyond the boundary nothing more is gained; what cannot be measured is as before."""
    known = torch.zeros_like(score) if otherwise is None else otherwise
    return torch.where(score.isnan() | score.isneginf(), known, score).double().clamp(max=0)


def compared(lab: Lab, step: Step, own: Climber, others: Sequence[tuple[str, Climber]]) -> Variants:
    """The plan's own attack begun afresh, and each of the others, on the same standing samples.

    One that breaks more than luck and the sample explain is repeated on every sample that stands.
    """
    rows, everyone = lab.left(), len(lab.campaign.job.x)
    standing = len(lab.left(everyone))
    heights = Heights.of(lab, rows)
    first = lab.attack(own, rows, key="again", step=step)
    heights = heights.raised(first)
    found, best = [], None
    for label, config in others:
        tried = lab.attack(config, rows, key=label, step=step)
        lead = int(tried.fell.sum()) - int(first.fell.sum())
        found.append(Variant(label, int(tried.fell.sum()), lead, heights.climb(tried)))
        if lead > 0 and (best is None or lead > best[0]):
            best = (lead, label, config)
    if best is not None:
        everywhere(lab, best[2], step, rows, key=f"{best[1]}/everyone")
    return Variants(len(rows), standing, everyone, int(first.fell.sum()), tuple(found))


def everywhere(lab: Lab, config: Climber, step: Step, done: Tensor, *, key: str) -> bool:
    """Run an attack on every sample that stands but those `done`; False where there are too many for that."""
    ledger = lab.campaign.ledger
    rows = (ledger.right & (ledger.rate >= 0.5) & (lab.campaign.ball.eps > 0)).nonzero().squeeze(1)
    rows = rows[~torch.isin(rows, done)]
    closest = ledger.score[rows].argsort(descending=True, stable=True)[:EVERYONE]
    if len(closest):
        lab.attack(config, rows[closest.sort().values], key=key, step=step)
    return len(rows) <= EVERYONE
