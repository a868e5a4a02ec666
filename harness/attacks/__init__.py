"""The attacks: one file each, listed here once; a suite may name every one of them."""

from typing import Annotated

from pydantic import Field

from .apgd import APGD, apgd
from .fgsm import FGSM, fgsm
from .pgd import PGD, pgd
from .spec import AttackConfig, AttackSpec
from .transfer import Transfer, transfer

_ALL = ("linf", "l2", "l1", "l0")

ATTACKS: dict[str, AttackSpec] = {
    "fgsm": AttackSpec(FGSM, fgsm, "gradients", _ALL, True, "Goodfellow et al. 2015"),
    "pgd": AttackSpec(PGD, pgd, "gradients", _ALL, True, "Madry et al. 2018"),
    "apgd": AttackSpec(APGD, apgd, "gradients", _ALL, True, "Croce and Hein 2020, 2021"),
    "transfer": AttackSpec(Transfer, transfer, "gradients", _ALL, True, "Papernot et al. 2017; Dong et al. 2018"),
}

AnyAttack = Annotated[FGSM | PGD | APGD | Transfer, Field(discriminator="attack")]

__all__ = ["ATTACKS", "AnyAttack", "AttackConfig", "AttackSpec"]
