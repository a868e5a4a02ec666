"""Does one step break what twenty do not?"""

from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .comparison import Comparison
from .limits import limit
from .records import Records

NAME = "one_step"


@dataclass(frozen=True)
class OneStep:
    """FGSM with the full radius against PGD of twenty steps, on the same loss, gradient and samples."""

    samples: int
    one_step: int
    """Samples that one step broke."""
    iterated: int
    only_one_step: int
    only_iterated: int

    @property
    def comparison(self) -> Comparison:
        """One step has to be the weaker one."""
        return Comparison(self.samples, against=self.only_one_step, expected=self.only_iterated)

    @property
    def measures(self) -> list[Measure]:
        """The share that each broke."""
        base = max(1, self.samples)
        return [
            Measure(label="broken by one step", value=self.one_step / base),
            Measure(label="broken by twenty steps", value=self.iterated / base),
        ]


def one_step_beats_iter(records: Records) -> Finding | None:
    """A sign of masked gradients: what leads uphill only far from the sample is no slope.

    Source: Athalye, Carlini and Wagner 2018, section 3.1; Carlini et al. 2019, section 5.1.
    """
    found = records.outcome(OneStep, NAME)
    if found is None or NAME not in records.significant:
        return None
    allowed = limit("ONE_STEP_BEATS_ITER")
    return Finding(
        code="ONE_STEP_BEATS_ITER",
        severity=allowed.severity,
        message=f"One step breaks {found.one_step} of {found.samples} samples, twenty steps break {found.iterated}.",
        measured=found.comparison.lead,
        threshold=allowed.threshold,
        remedy="The gradient is masked or the steps are wrong: use another gradient (bpda, smoothed) or other steps.",
    )
