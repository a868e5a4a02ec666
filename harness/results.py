"""Everything that a report shows and a replay needs: one versioned record per evaluation. Never imports torch."""

from typing import Any, Literal

from pydantic import PrivateAttr

from .model_info import ModelInfo
from .record import Record
from .trust import (
    CertifiedRecord,
    ControlRecord,
    CurvePoint,
    Finding,
    GatePart,
    GridRecord,
    PowerRecord,
    RegressionRecord,
    SequentialRecord,
    Severity,
    Waiver,
)

SCHEMA_VERSION = 2

Outcome = Literal["clean_error", "broken", "survived", "not_evaluated"]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "NO_GATE"]
Phase = Literal["clean", "gradient", "blackbox", "replay", "controls"]
PHASES: tuple[Phase, ...] = ("clean", "gradient", "blackbox", "replay", "controls")
AttackStatus = Literal["ok", "idle", "not_applicable", "skipped", "crashed", "starved", "interrupted"]


class Passes(Record):
    """Model passes, summed over samples: one unit is one sample once through the model."""

    forward: int = 0
    backward: int = 0


class PassCount(Passes):
    """The total and the same two counts per phase."""

    phases: dict[Phase, Passes] = {}


class SampleRecord(Record):
    """What happened to one sample."""

    id: int
    label: int
    target: int | None = None
    outcome: Outcome
    clean_prediction: int
    """-1 where the answer held a NaN."""
    prediction: int | None = None
    """The class predicted for the worst case found, as replayed."""
    broken_by: str | None = None
    """The attack (its name in the plan) whose point was replayed as a break."""
    distance: float | None = None
    """Of the worst case found from the clean sample, in the threat model's norm and [0, 1] pixel units; in units of
    each feature's box width for a box."""
    correct_rate: float | None = None
    """Stochastic targets: how often fresh draws were right on the worst case found, the clean sample being one."""
    indicators: list[str] = []
    """Of the samples that the indicators looked at: those that fired, I1 to I6."""
    evidence: bool | None = None
    """Whether that this sample stands is evidence of robustness: no indicator fired; None where none looked."""
    forward: int = 0
    backward: int = 0


class PlanEntry(Record):
    """One line of the plan: which attack runs on what gradient, and why."""

    name: str
    attack: str
    parameters: dict[str, Any] = {}
    gradient: str | None = None
    eot: int = 1
    loss: str = ""
    step_size: str = ""
    momentum: float | None = None
    answers: str = ""
    """How one answer of a random target is made for an attack that asks for answers: `majority of 5 draws`."""
    reason: str = ""
    runs: bool = True
    """False: left out, and `reason` says why."""
    cost: str = ""
    """What leaving it out costs in trust; empty where that is nothing."""
    revises: str = ""
    """The entry that this one was added after, while the run went on."""


class AttackRecord(Record):
    """What one entry of the plan did."""

    name: str
    attack: str
    gradient: str | None = None
    status: AttackStatus
    reason: str = ""
    attempted: int = 0
    """Samples that still stood and were attacked."""
    broken: int = 0
    """Of those, replayed as broken on the deployed model."""
    invalid: int = 0
    """Proposals outside the ball or the box, or not finite: never counted."""
    robust_accuracy: float | None = None
    """Worst case over this and all attacks before it."""
    forward: int = 0
    backward: int = 0
    seconds: float = 0.0


class Estimate(Record):
    """A share of the samples and its interval."""

    value: float
    interval: tuple[float, float]
    """By bootstrap over samples; those of which nothing is known are broken at its lower end and right at its upper."""


class DrawsRecord(Record):
    """The accuracy of a random target, by what a deployment makes of its draws."""

    expectation: Estimate
    """Of one answer."""
    majority: Estimate
    """Of a vote over all draws, a tie being wrong."""
    worst_of_1: Estimate
    worst_of_10: Estimate
    """Where one wrong answer in ten is a break."""
    worst_of_100: Estimate


class StochasticRecord(Record):
    """How a random target was scored: on fresh draws that no attack saw and that chose no worst case."""

    rule: str
    """As declared: single, majority:K or mean:K; it is what was attacked."""
    draws: int
    """Per point, each an answer of the product by its rule."""
    samples: int
    confidence: float
    clean: DrawsRecord
    robust: DrawsRecord


class OperatingPoint(Record):
    """A detector at one threshold; intervals are Clopper-Pearson's, of a random target by bootstrap over samples."""

    share: float | None = None
    """Of held-out clean samples that it rejects at most; None at the deployed threshold."""
    threshold: float
    """Rejected is what scores above it; in units of the score, in which `deployed` has its own."""
    clean_accuracy: Estimate
    """Accepted and right."""
    clean_rejection: Estimate
    robust_accuracy: Estimate
    """Right when clean, and no point found that is accepted and wrong: by any attack, at whatever threshold it ran."""
    not_evaluated: int = 0
    """Samples of which nothing is known there."""
    held_out_rejection: float | None = None
    """What the threshold rejects of the held-out samples."""
    detection: float | None = None
    """Share of the adaptive examples behind the detector's curve that it rejects."""
    attacks: list[AttackRecord] = []
    """Those that ran against this threshold; at the deployed one they are the result's own."""


class RejectionRecord(Record):
    """How a target that may refuse to answer does at several thresholds."""

    deployed: OperatingPoint
    points: list[OperatingPoint] = []
    held_out: int = 0
    """Clean samples that set the thresholds of `points`; none of them is evaluated."""
    constant: bool = False
    """Every clean sample has the same score."""
    points_missing: str = ""
    """Why there are no other thresholds, or not all."""
    curve: list[tuple[float, float]] = []
    """Share of clean samples rejected, share of adaptive examples detected, over all thresholds: per sample that is
    right when clean, the wrong candidate with the lowest score; without one the sample counts as detected."""
    area: float | None = None
    """Under the curve. As every number that rests on attacks, an upper bound."""
    examples: int = 0
    """Samples behind the curve, and how many of them have a wrong candidate."""
    wrong: int = 0
    curve_missing: str = ""
    """Why there is no curve."""
    confidence: float = 0.95


class ThreatRecord(Record):
    """The threat model as resolved."""

    norm: str
    epsilon: float | tuple[float, float] | None
    """[0, 1] pixel units: one number, the smallest and largest of per-sample radii, or None for a box."""
    box: bool = False
    targeted: bool = False
    pixel_grid: Literal["none", "8bit"] = "none"
    """8bit: samples and counted points lie on the 8-bit pixel grid."""
    rounded: int = 0
    """Samples that lay off that grid before."""
    limits_sha256: str = ""
    """Of radii or a box that differ by sample; empty where one radius is that of all."""
    knowledge: str = "white-box"


class Gate(Record):
    """What the verdict was held against."""

    min_robust_accuracy: float | None = None
    on: Literal["interval", "point"] = "interval"
    confidence: float = 0.95
    max_regression: float | None = None
    """Largest loss of robust accuracy against a baseline."""


class DataRecord(Record):
    """Where the samples came from."""

    name: str
    samples: int
    sha256: str
    shape: tuple[int, ...] = ()


class Environment(Record):
    """Where the run happened."""

    robcheck: str
    python: str
    platform: str
    packages: dict[str, str] = {}
    device: str = "cpu"
    threads: int = 1


class GalleryItem(Record):
    """One sample as pictures: values in [0, 1], (H, W) or (H, W, 3) nested lists."""

    id: int
    label: str
    clean_prediction: str
    prediction: str
    attack: str
    distance: float
    clean: list[Any]
    adversarial: list[Any]


class Inspection(Record):
    """What a model is and whether it keeps its contract, before anything attacks it."""

    model: ModelInfo
    contract: list[Finding]
    samples: int
    labelled: bool
    """False: random samples, with the model's own answers as labels."""
    clean_accuracy: float | None = None
    proposal: str = ""
    """Another common range, normalisation or layout that fits the samples better; yours to confirm."""

    @property
    def sound(self) -> bool:
        """Whether no check found anything severe."""
        return all(finding.severity != "severe" for finding in self.contract)


class Result(Record):
    """One evaluation, from the question to the verdict."""

    schema_version: int = SCHEMA_VERSION
    created: str = ""
    """UTC, ISO 8601."""
    seconds: float = 0.0
    verdict: Verdict
    explanation: str = ""
    """One sentence: why this verdict."""
    against_pass: list[str] = []
    """What stands, or without a gate would have stood, against a PASS."""
    complete: bool = True
    """False when the run was interrupted or could not finish."""
    clean_accuracy: float
    robust_accuracy: float
    """Worst case over all attacks, per sample; an upper bound of the truth."""
    interval: tuple[float, float]
    """For the sampling of test points alone: Clopper-Pearson, of a random target by bootstrap over samples."""
    stochastic: bool = False
    decision_rule: str = "single"
    """How the product decides, as declared."""
    stochastic_report: StochasticRecord | None = None
    """Of a random target, once every worst case was scored on fresh draws; its headline is the expectation."""
    rejection: RejectionRecord | None = None
    """Of a target that may refuse to answer."""
    model: ModelInfo
    defenses: list[str] = []
    data: DataRecord
    threat: ThreatRecord
    gate: Gate
    gate_parts: list[GatePart] = []
    """The questions of the gate, each answered by the numbers alone."""
    suite: str
    suite_source: dict[str, Any] = {}
    """The suite as resolved, defaults filled in."""
    seed: int = 0
    batch_size: int = 0
    plan: list[PlanEntry] = []
    attacks: list[AttackRecord] = []
    samples: list[SampleRecord] = []
    passes: PassCount = PassCount()
    contract: list[Finding] = []
    """Every check of the contract in order, also those that found nothing or could not be made."""
    controls_level: str = "standard"
    controls: list[ControlRecord] = []
    """Every control experiment that was scheduled, in order."""
    power: PowerRecord | None = None
    """What the plan finds of adversarial examples that surely exist."""
    radii: list[CurvePoint] = []
    """Accuracy over the radius, on a part of the samples."""
    grid: GridRecord | None = None
    """The worst case on the 8-bit pixel grid, beside the headline; of images only."""
    certified: CertifiedRecord | None = None
    regression: RegressionRecord | None = None
    sequential: SequentialRecord | None = None
    waivers: list[Waiver] = []
    findings: list[Finding] = []
    """What the contract and the controls found, severe ones first."""
    gallery: list[GalleryItem] = []
    environment: Environment

    _adversarial: Any = PrivateAttr(default=None)

    @property
    def adversarial(self) -> Any:
        """The worst case found for each sample, as replayed, (N, ...) in the units of `bounds`; the clean sample where
        nothing was found. None on a result that was read from JSON."""
        return self._adversarial


__all__ = [
    "PHASES",
    "SCHEMA_VERSION",
    "AttackRecord",
    "AttackStatus",
    "CertifiedRecord",
    "ControlRecord",
    "CurvePoint",
    "DataRecord",
    "DrawsRecord",
    "Environment",
    "Estimate",
    "Finding",
    "GalleryItem",
    "Gate",
    "GatePart",
    "GridRecord",
    "Inspection",
    "OperatingPoint",
    "Outcome",
    "PassCount",
    "Passes",
    "Phase",
    "PlanEntry",
    "PowerRecord",
    "RegressionRecord",
    "RejectionRecord",
    "Result",
    "SampleRecord",
    "SequentialRecord",
    "Severity",
    "StochasticRecord",
    "ThreatRecord",
    "Verdict",
    "Waiver",
]
