"""This evaluation against an earlier one on the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import UsageError
from .paired import paired_difference
from .results import DataRecord, Gate, RegressionRecord, Result, SampleRecord, ThreatRecord
from .statistics import mcnemar


@dataclass(frozen=True)
class Subject:
    """What two evaluations must have in common before their numbers can be compared."""

    data: DataRecord
    threat: ThreatRecord
    ids: list[int]
    targets: list[int | None]

    @classmethod
    def of(cls, result: Result) -> "Subject":
        """Of a finished evaluation."""
        samples = result.samples
        return cls(result.data, result.threat, [s.id for s in samples], [s.target for s in samples])


@dataclass(frozen=True)
class Standing:
    """How often a sample is right on its worst case: at least, and at most; the two differ where nothing is known."""

    least: float
    most: float

    @classmethod
    def of(cls, sample: SampleRecord) -> "Standing":
        """Under attack."""
        if sample.outcome == "not_evaluated":
            return cls(0.0, 1.0)
        rate = float(sample.outcome == "survived") if sample.correct_rate is None else sample.correct_rate
        return cls(rate, rate)

    @classmethod
    def clean(cls, sample: SampleRecord) -> "Standing":
        """Without an attack: right more often than not."""
        if sample.outcome == "not_evaluated":
            return cls(0.0, 1.0)
        right = float(sample.outcome != "clean_error")
        return cls(right, right)


def refuse_misfit(old: Subject, new: Subject, name: str) -> None:
    """Let only the same question on the same samples pass.

    Raises:
        UsageError: other samples, or another threat model; it says what differs.
    """
    if old.threat != new.threat:
        fields = [f for f in ThreatRecord.model_fields if getattr(old.threat, f) != getattr(new.threat, f)]
        told = ", ".join(f"{f} {getattr(old.threat, f)} against {getattr(new.threat, f)}" for f in fields)
        raise UsageError(f"{name} has another threat model ({told}); evaluate both under the same one")
    if not set(old.ids) & set(new.ids):
        raise UsageError(f"{name} has no sample in common with this run; evaluate both on the same data")
    if old.data.sha256 != new.data.sha256 or not old.data.sha256 or old.ids != new.ids or old.targets != new.targets:
        raise UsageError(
            f"{name} was evaluated on other samples ({len(old.ids):,} of {old.data.name}, here {len(new.ids):,} of "
            f"{new.data.name}, and what they hold differs); give both the same data, --samples and --seed"
        )


def refuse_unfinished(result: Result, name: str) -> None:
    """Let only whole evaluations pass.

    Raises:
        UsageError: the run was interrupted, or stopped early by design.
    """
    if not result.complete:
        raise UsageError(f"{name} was interrupted, so it says nothing of many samples; evaluate it again to the end")
    if result.sequential is not None:
        raise UsageError(
            f"{name} was stopped when its gate was decided, which bends a comparison; evaluate it again without "
            "--stop-when-decided"
        )


def regression(old: Sequence[Standing], new: Sequence[Standing], gate: Gate, *, baseline: str) -> RegressionRecord:
    """The change from `old` to `new`, the same samples in the same order.

    A sample of which nothing is known is at its worst for the lower end of the interval and at its best for the upper.
    """
    n = len(new)
    least = [b.least - a.most for a, b in zip(old, new, strict=True)]
    most = [b.most - a.least for a, b in zip(old, new, strict=True)]
    lost = sum(a.least >= 0.5 > b.least for a, b in zip(old, new, strict=True))
    won = sum(a.least < 0.5 <= b.least for a, b in zip(old, new, strict=True))
    return RegressionRecord(
        baseline=baseline,
        samples=n,
        before=sum(a.least for a in old) / n,
        after=sum(b.least for b in new) / n,
        only_before=lost,
        only_after=won,
        p=mcnemar(lost, won),
        interval=paired_difference(least, most, gate.confidence),
        change=(sum(least) / n, sum(most) / n),
        allowed=gate.max_regression,
    )
