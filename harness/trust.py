"""How far a number can be trusted, as records: findings, waivers, control experiments and what they measured."""

from typing import Literal

from .record import Record

Severity = Literal["ok", "info", "warning", "severe"]
ControlStatus = Literal["ok", "skipped", "failed"]
ControlLevel = Literal["none", "standard", "full"]
GateState = Literal["holds", "fails", "open"]
WaiverStatus = Literal["applied", "unused", "expired", "refused"]


class Waiver(Record):
    """A finding that somebody has decided to live with, until a day."""

    code: str
    reason: str
    expires: str
    """The last day on which it counts, ISO 8601."""
    status: WaiverStatus = "unused"
    """expired: not applied, because that day is over; refused: what it names makes a run void, whoever waives it."""


class Finding(Record):
    """One thing that a control found; it can turn PASS into INCONCLUSIVE, nothing else."""

    code: str
    """Upper case with underscores, e.g. BLACKBOX_BEATS_WHITEBOX."""
    severity: Severity
    """`severe` stands against a PASS; `warning` and `info` do not; `ok` is what a check of the contract says when
    nothing is wrong."""
    message: str
    """One sentence: what was seen."""
    measured: float | None = None
    threshold: float | None = None
    remedy: str = ""
    """One sentence: what to do."""
    waived: str = ""
    """Why it does not stand against a PASS although it is severe: the reason of a waiver."""


class Measure(Record):
    """One number that a control experiment brought."""

    label: str
    """Of what, as a row of a table: `PGD, 40 steps`."""
    value: float
    kind: Literal["share", "number"] = "share"
    """A share of the samples (shown as per cent), or a plain number."""


class ControlRecord(Record):
    """One control experiment: what it asked, on how many samples, what came out."""

    name: str
    question: str
    status: ControlStatus = "ok"
    reason: str = ""
    """Why it was skipped, or how it failed."""
    samples: int = 0
    fell: int = 0
    """Samples that newly fell to one of its points; they count in the worst case like those of any attack."""
    measures: list[Measure] = []
    forward: int = 0
    backward: int = 0
    seconds: float = 0.0


class PowerLevel(Record):
    """Planted adversarial examples of one difficulty."""

    name: str
    planted: int
    found: int
    by_one_step: int
    """Of the same, found by a single step: a level that one step finds says little."""
    interval: tuple[float, float]
    """Of the share found, Clopper-Pearson's."""

    @property
    def rate(self) -> float:
        """The share found."""
        return self.found / max(1, self.planted)


class PowerRecord(Record):
    """What the plan finds of adversarial examples that surely exist."""

    levels: list[PowerLevel]
    attacks: list[str] = []
    """The entries of the plan that searched."""


class CurvePoint(Record):
    """Accuracy under attack at one radius."""

    epsilon: float
    accuracy: float
    samples: int


class GridRecord(Record):
    """The worst case when only points on the 8-bit pixel grid count."""

    robust_accuracy: float
    interval: tuple[float, float]
    kept: int
    """Breaks that are breaks on the grid too."""
    breaks: int


class CertifiedRecord(Record):
    """What interval bounds prove, whatever attacks."""

    accuracy: float
    """A lower bound: share of the samples that are right and provably stay so."""
    samples: int
    contradicted: int = 0
    """Proven samples that an attack broke all the same: the proof, the replay or the ball is wrong."""


class RegressionRecord(Record):
    """This run against an earlier one on the same samples."""

    baseline: str
    """Name of the earlier result's model."""
    samples: int
    before: float
    after: float
    only_before: int
    """Samples robust in the earlier run and not in this one."""
    only_after: int
    p: float
    """Exact McNemar, two-sided; of random targets on the samples that are right more often than not."""
    interval: tuple[float, float]
    """Of after - before: Gaffke's bound on the differences per sample."""
    change: tuple[float, float]
    """The least and the most that after - before is on these samples; they differ where samples are unknown."""
    allowed: float | None = None
    """The largest loss that the gate allows."""


class GatePart(Record):
    """One question of the gate, by the numbers alone: what findings do to a PASS is not said here."""

    name: Literal["robust accuracy", "regression"]
    state: GateState
    """holds; fails; open: the interval holds the threshold."""
    text: str


class SequentialRecord(Record):
    """Looks at the data while they came in."""

    method: str
    looked: list[int]
    """Samples evaluated at each look."""
    of: int
    """Samples that were there."""
    decided: bool
