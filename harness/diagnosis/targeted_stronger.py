"""Does aiming at classes break what the plan does not?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .comparison import Comparison
from .limits import limit
from .records import Records

NAME = "targets"


@dataclass(frozen=True)
class Targeted:
    """Every wrong class in turn against as many untargeted starts, on samples that the plan left standing."""

    samples: int
    classes: int
    targeted: int
    """Samples that fell to one class or another."""
    untargeted: int
    only_targeted: int
    only_untargeted: int

    @property
    def comparison(self) -> Comparison:
        """Untargeted attacks may end where they like, so they should be ahead."""
        return Comparison(self.samples, against=self.only_targeted, expected=self.only_untargeted)

    @property
    def measures(self) -> list[Measure]:
        """The share that each broke of samples that stood."""
        base = max(1, self.samples)
        return [
            Measure(label=f"fell to one of {self.classes} classes", value=self.targeted / base),
            Measure(label=f"fell to {self.classes} untargeted starts", value=self.untargeted / base),
        ]


def targeted_stronger(records: Records) -> Finding | None:
    """Then the loss without a target leads to poor places; a warning, because what was found counts already.

    Source: Carlini et al. 2019, section 5.3; Gowal et al. 2019.
    """
    found = records.outcome(Targeted, NAME)
    if found is None or NAME not in records.significant:
        return None
    allowed = limit("TARGETED_STRONGER")
    return Finding(
        code="TARGETED_STRONGER",
        severity=allowed.severity,
        message=f"Aiming at {found.classes} classes in turn breaks {found.targeted} of {found.samples} samples that "
        f"the plan left standing; as many untargeted starts break {found.untargeted}.",
        measured=found.comparison.lead,
        threshold=allowed.threshold,
        remedy="Add an attack with `targets: 9` to the suite.",
    )
