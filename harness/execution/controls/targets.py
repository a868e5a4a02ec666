"""Class by class against untargeted, at equal cost."""

from ...attacks.pgd import PGD
from ...diagnosis.targeted_stronger import Targeted
from ...errors import NotApplicableError
from ..lab import Lab
from .climb import climbers, everywhere

CLASSES = 9
STEPS = 8


def targets(lab: Lab) -> Targeted:
    """As many starts without a class as there are classes to aim at, on samples that stand.

    A run that aims at classes is repeated on every sample that stands when it alone breaks one.
    """
    classes = min(CLASSES, lab.campaign.classes - 1)
    if lab.campaign.job.targets is not None or classes < 2:
        raise NotApplicableError("there is one wrong class to reach")
    step, own = climbers(lab)[0]
    rows = lab.left()
    untargeted = PGD(loss=own.loss, steps=STEPS, restarts=classes)
    targeted = PGD(loss=own.loss, steps=STEPS, targets=classes)
    without = lab.attack(untargeted, rows, key="untargeted", step=step)
    by_class = lab.attack(targeted, rows, key="targeted", step=step)
    alone = int((by_class.fell & ~without.fell).sum())
    if alone:
        everywhere(lab, targeted, step, rows, key="targeted/everyone")
    return Targeted(
        samples=len(rows),
        classes=classes,
        targeted=int(by_class.fell.sum()),
        untargeted=int(without.fell.sum()),
        only_targeted=alone,
        only_untargeted=int((without.fell & ~by_class.fell).sum()),
    )
