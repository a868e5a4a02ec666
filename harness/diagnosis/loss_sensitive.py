"""Does a loss that the plan does not climb break what it left standing?"""

from ..results import Finding
from .more import Variants, sensitive
from .records import Records

NAME = "losses"


def loss_sensitive(records: Records) -> Finding | None:
    """Cross-entropy dies on large logits, margins on flat ones: a number may not hang on one of them.

    Source: Carlini et al. 2019, section 5.2; the limit: reference sheet C2.13.
    """
    found = records.outcome(Variants, NAME)
    if found is None:
        return None
    return sensitive(found, "LOSS_SENSITIVE", what="loss", remedy="Add an attack with that loss to the suite.")
