"""Does the plan find adversarial examples that surely are there?"""

from dataclasses import dataclass

from ..results import Finding
from ..statistics import clopper_pearson
from ..trust import Measure, PowerLevel, PowerRecord
from .limits import limit
from .records import Records

NAME = "planted"
LEVELS: dict[str, float] = {"easy": 1 / 3, "middle": 1 / 5, "hard": 1 / 10}
"""How close scores have to come to the planted ones, as a share of the way from the clean ones. By measurement: all
three are beyond one step, and chance finds the last one for a sample in thirty."""


@dataclass(frozen=True)
class Level:
    """Planted adversarial examples of one difficulty; none where the scores are too coarse for it."""

    name: str
    planted: int
    found: int
    by_one_step: int
    by_chance: int
    """Found by a dozen random points."""

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share found, Clopper-Pearson's; everything is possible where nothing was planted."""
        return clopper_pearson(self.found, self.planted) if self.planted else (0.0, 1.0)


@dataclass(frozen=True)
class Power:
    """What the plan found, easiest level first."""

    samples: int
    levels: tuple[Level, ...]
    attacks: tuple[str, ...]
    """The entries of the plan that searched."""

    @property
    def measures(self) -> list[Measure]:
        """The share found of each level, and what little effort finds."""
        found: list[Measure] = []
        for level in self.levels:
            planted = max(1, level.planted)
            found.append(Measure(label=f"{level.name}: planted", value=level.planted, kind="number"))
            if level.planted:
                found.append(Measure(label=f"{level.name}: found", value=level.found / planted))
                found.append(Measure(label=f"{level.name}: by one step", value=level.by_one_step / planted))
                found.append(Measure(label=f"{level.name}: by chance", value=level.by_chance / planted))
        return found

    @property
    def record(self) -> PowerRecord:
        """For the result: the levels at which something was planted."""
        return PowerRecord(
            levels=[
                PowerLevel(
                    name=level.name,
                    planted=level.planted,
                    found=level.found,
                    by_one_step=level.by_one_step,
                    interval=level.interval,
                )
                for level in self.levels
                if level.planted
            ],
            attacks=list(self.attacks),
        )


def low_power(records: Records) -> list[Finding]:
    """The levels at which the share found is below the limit, and more than chance below: every severe one, so that a
    waiver of one level speaks of that level alone, or else the easiest.

    With few samples only a clear failure is one: the upper end of the interval has to be below the limit.
    """
    found = records.outcome(Power, NAME)
    findings = [f for f in map(_of, found.levels) if f is not None] if found is not None else []
    return [f for f in findings if f.severity == "severe"] or findings[:1]


def _of(level: Level) -> Finding | None:
    code = "LOW_POWER" if level.name == "easy" else f"LOW_POWER_{level.name.upper()}"
    allowed = limit(code)
    severity = allowed.judge_low(level.interval[1]) if level.planted else None
    if severity is None:
        return None
    return Finding(
        code=code,
        severity=severity,
        message=f"The plan finds {level.found} of {level.planted} adversarial examples that were planted inside the "
        f"ball ({level.name} ones), a single step {level.by_one_step}.",
        measured=level.found / level.planted,
        threshold=allowed.threshold,
        remedy="Give the attacks more steps, another loss or another gradient: what they miss there they miss here.",
    )
