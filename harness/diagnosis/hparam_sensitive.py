"""Does another step size, or momentum, break what the plan left standing?"""

from ..results import Finding
from .more import Variants, sensitive
from .records import Records

NAME = "settings"


def hparam_sensitive(records: Records) -> Finding | None:
    """A number that hangs on the step size says more about the step size than about the model.

    Source: Carlini et al. 2019, section 5.6; the limit: reference sheet C2.14.
    """
    found = records.outcome(Variants, NAME)
    if found is None:
        return None
    return sensitive(
        found, "HPARAM_SENSITIVE", what="step size or momentum", remedy="Give the attacks of the suite that setting."
    )
