"""A random target with its randomness frozen to one draw."""

from dataclasses import replace

from ...attacks.pgd import PGD
from ...diagnosis.eot_broken import Frozenness
from ...errors import NotApplicableError
from ...gradients import Distilled, Reparameterised
from ..frozen import Frozen
from ..lab import Lab
from .climb import plain_loss
from .sibling import bare

STEPS = 20


def frozen_draws(lab: Lab) -> Frozenness:
    """The same attack on the target frozen, as it is, and on the classifier without its defenses."""
    pipeline, step = lab.campaign.pipeline, lab.main
    if not pipeline.random:
        raise NotApplicableError("nothing is random")
    if pipeline.noisy_classifier:
        raise NotApplicableError("the classifier itself draws, and its draws cannot be chosen")
    if isinstance(step.gradient, Reparameterised | Distilled):
        raise NotApplicableError(f"{step.gradient.label} was trained on the target as it is")
    rows = lab.right()
    config = PGD(loss=plain_loss(lab), steps=STEPS)
    still = lab.attack(config, rows, key="frozen", step=replace(step, draws=1), pipeline=Frozen.of(pipeline))
    moving = lab.attack(config, rows, key="random", step=step)
    without = bare(lab)
    fell = None if without is None else int(lab.attack(PGD(steps=STEPS), rows, key="bare", **without).fell.sum())
    return Frozenness(
        samples=len(rows),
        frozen=int(still.fell.sum()),
        random=int(moving.fell.sum()),
        bare=fell,
        only_random=int((moving.fell & ~still.fell).sum()),
        only_frozen=int((still.fell & ~moving.fell).sum()),
    )
