"""Losses that the plan does not climb."""

from ...diagnosis.more import Variants
from ...errors import NotApplicableError
from ..lab import Lab
from .climb import Climber, climbers, compared, shortened

STEPS = 20


def losses(lab: Lab) -> Variants:
    """The plan's first attack with each loss that no entry of the plan climbs, on samples that stand."""
    step, config = climbers(lab)[0]
    own = shortened(config, STEPS)
    taken = {_loss(c.loss, c.targets) for c in (s.request.config for s in lab.direct) if isinstance(c, Climber)}
    others = [(label, update) for label, update in _known(lab) if label not in taken]
    if not others:
        raise NotApplicableError("the plan climbs every loss that there is for this target")
    return compared(lab, step, own, [(label, own.model_copy(update=update)) for label, update in others])


def _loss(loss: str, targets: int) -> str:
    return f"targeted {loss}" if targets and loss == "dlr" else loss


def _known(lab: Lab) -> list[tuple[str, dict[str, object]]]:
    """Two classes have no DLR, three no targeted one. Source: AutoAttack's flags."""
    classes, targeted = lab.campaign.classes, lab.campaign.job.targets is not None
    found: list[tuple[str, dict[str, object]]] = [
        ("ce", {"loss": "ce", "targets": 0}),
        ("margin", {"loss": "margin", "targets": 0}),
    ]
    if classes > (3 if targeted else 2):
        found.append(("dlr", {"loss": "dlr", "targets": 0}))
    if classes > 3 and not targeted:
        found.append(("targeted dlr", {"loss": "dlr", "targets": 1}))
    if lab.campaign.pipeline.rejects:
        found.append(("joint", {"loss": "joint", "targets": 0}))
    return found
