"""One step of the full radius against twenty, on the same loss."""

from ...attacks.fgsm import FGSM
from ...attacks.pgd import PGD
from ...diagnosis.one_step_beats_iter import OneStep
from ..lab import Lab
from .climb import plain_loss


def one_step(lab: Lab) -> OneStep:
    """Both on the plan's main gradient and draws, on samples that are right when clean."""
    rows = lab.right()
    loss = plain_loss(lab)
    once = lab.attack(FGSM(loss=loss), rows, key="one step")
    often = lab.attack(PGD(loss=loss, steps=20), rows, key="twenty steps")
    return OneStep(
        samples=len(rows),
        one_step=int(once.fell.sum()),
        iterated=int(often.fell.sum()),
        only_one_step=int((once.fell & ~often.fell).sum()),
        only_iterated=int((often.fell & ~once.fell).sum()),
    )
