"""Step sizes and momentum that the plan does not use."""

from ...attacks.pgd import PGD
from ...diagnosis.more import Variants
from ..lab import Lab
from .climb import Climber, climbers, compared, shortened

STEPS = 16
SIZES = (0.01, 0.1, 0.25, 1.0, 2.0)
"""As shares of eps. Source: reference sheet C2.14."""
MOMENTUM = 0.75


def settings(lab: Lab) -> Variants:
    """The plan's first attack with other step sizes, and with momentum or without, on samples that stand."""
    step, config = climbers(lab)[0]
    own = shortened(config, STEPS)
    plain = _plain(own)
    others: list[tuple[str, Climber]] = [
        (f"step {size:g} eps", plain.model_copy(update={"step_size": size}))
        for size in SIZES
        if size != plain.step_size
    ]
    switched = 0.0 if own.momentum else MOMENTUM
    label = "with momentum" if switched else "without momentum"
    return compared(lab, step, own, [*others, (label, own.model_copy(update={"momentum": switched}))])


def _plain(config: Climber) -> PGD:
    """PGD with the same loss, targets and number of steps: APGD chooses its step size itself."""
    if isinstance(config, PGD):
        return config
    return PGD(loss=config.loss, steps=config.steps, targets=config.targets, start=config.start)
