"""The attacks: one file each, listed here once; a suite may name every one of them."""

from typing import Annotated

from pydantic import Field

from .pgd import PGD, pgd
from .spec import AttackSpec

ATTACKS: dict[str, AttackSpec] = {
    "pgd": AttackSpec(PGD, pgd, "gradients", ("linf", "l2", "l1", "l0"), True, "Madry et al. 2018"),
}

AnyAttack = Annotated[PGD, Field(discriminator=None)]
