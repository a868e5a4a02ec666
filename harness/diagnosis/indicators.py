"""Six indicators of attack failure on samples that stand: what each came to, and where it fired.

Source: Pintor et al. 2022, "Indicators of attack failure: debugging and improving optimization of adversarial
examples", section 3. A sample that stands is evidence of robustness only where none of the six fires.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..results import Finding
from ..trust import Measure
from .limits import TRIGGERS, limit, milder_on_few
from .records import Records

NAME = "indicators"


@dataclass(frozen=True)
class Indicators:
    """Values by indicator, in the order of `rows`; an indicator that means nothing for the target is absent.

    I1: share of the gradient questions that were answered with zero or no number. I2: change of the loss by noise. I3:
    1 where an iterate broke and the proposal does not. I4: rise of the loss in the last quarter of the steps. I5: 1
    where the proposal breaks what the gradient was taken of and not the target. I6: 1 where the attack fails without a
    limit.
    """

    samples: int
    """Standing samples that the attack was run on again."""
    attack: str
    rows: tuple[int, ...]
    """Positions of those that still stand after it."""
    values: Mapping[str, tuple[float, ...]]

    def fired(self, name: str) -> list[bool]:
        """Where an indicator fired, one per row."""
        return [not value <= TRIGGERS[name] for value in self.values.get(name, ())]

    def of(self, position: int) -> list[str] | None:
        """The indicators that fired for the sample at a position of the data set; None: it was not looked at."""
        if position not in self.rows:
            return None
        at = self.rows.index(position)
        return [name for name in self.values if self.fired(name)[at]]

    @property
    def measures(self) -> list[Measure]:
        """For which share of the samples each fired, and for which none did."""
        if not self.rows:
            return []
        shares = [Measure(label=name, value=sum(self.fired(name)) / len(self.rows)) for name in self.values]
        clear = sum(not self.of(row) for row in self.rows)
        return [*shares, Measure(label="none of them", value=clear / len(self.rows))]


def raised(records: Records, name: str, code: str, seen: str, remedy: str) -> Finding | None:
    """The finding of one indicator; `seen` goes on after `On 3 of 32 standing samples `."""
    found = records.outcome(Indicators, NAME)
    fired = [] if found is None else found.fired(name)
    if found is None or not fired:
        return None
    share, allowed = sum(fired) / len(fired), limit(code)
    severity = milder_on_few(allowed.judge(share), sum(fired), records.evaluated)
    if severity is None:
        return None
    return Finding(
        code=code,
        severity=severity,
        message=f"On {sum(fired)} of {len(fired)} standing samples {seen} ({name}, attack {found.attack}).",
        measured=share,
        threshold=allowed.threshold,
        remedy=remedy,
    )
