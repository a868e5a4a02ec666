"""The attacks: one file each, listed here once; a suite may name every one of them."""

from typing import Annotated

from pydantic import Field

from ..geometry import NORMS
from .apgd import APGD, apgd
from .fab import FAB, fab
from .fgsm import FGSM, fgsm
from .genattack import GenAttack, genattack
from .hopskipjump import HopSkipJump, hopskipjump
from .latent import Latent, latent
from .pgd import PGD, pgd
from .spec import AttackConfig, AttackSpec
from .square import Square, square
from .transfer import Transfer, transfer

_ALL = NORMS

ATTACKS: dict[str, AttackSpec] = {
    "fgsm": AttackSpec(FGSM, fgsm, "gradients", _ALL, True, "Goodfellow et al. 2015"),
    "pgd": AttackSpec(PGD, pgd, "gradients", _ALL, True, "Madry et al. 2018"),
    "apgd": AttackSpec(APGD, apgd, "gradients", _ALL, True, "Croce and Hein 2020, 2021"),
    "fab": AttackSpec(FAB, fab, "gradients", ("linf", "l2", "l1"), True, "Croce and Hein 2020 (FAB)"),
    "latent": AttackSpec(Latent, latent, "gradients", _ALL, True, "Athalye et al. 2018"),
    "transfer": AttackSpec(Transfer, transfer, "gradients", _ALL, True, "Papernot et al. 2017; Dong et al. 2018"),
    "square": AttackSpec(Square, square, "scores", ("linf", "l2"), True, "Andriushchenko et al. 2020"),
    "hopskipjump": AttackSpec(HopSkipJump, hopskipjump, "decisions", ("linf", "l2"), True, "Chen et al. 2020"),
    "genattack": AttackSpec(GenAttack, genattack, "scores", ("linf",), True, "Alzantot et al. 2019"),
}

AnyAttack = Annotated[
    FGSM | PGD | APGD | FAB | Latent | Transfer | Square | HopSkipJump | GenAttack, Field(discriminator="attack")
]

__all__ = ["ATTACKS", "AnyAttack", "AttackConfig", "AttackSpec"]
