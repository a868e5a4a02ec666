"""What an evaluation is about, known before it begins: which samples, which threat model, which gate."""

import hashlib
from collections.abc import Sequence

from .errors import UsageError
from .execution.job import Job
from .regression import Standing, Subject, refuse_misfit, refuse_unfinished, regression
from .results import DataRecord, Gate, RegressionRecord, Result, SampleRecord, ThreatRecord


def data_record(job: Job) -> DataRecord:
    """Name and hash of the samples; hashed here where nobody said what they are."""
    given = job.labels.get("data")
    if isinstance(given, DataRecord) and given.sha256:
        return given
    digest = hashlib.sha256(job.x.contiguous().numpy().tobytes())
    digest.update(job.y.contiguous().numpy().tobytes())
    if isinstance(given, DataRecord):
        return given.model_copy(update={"sha256": digest.hexdigest()})
    shape = tuple(job.x.shape[1:])
    return DataRecord(name="arrays", samples=len(job.x), sha256=digest.hexdigest(), shape=shape)


def threat_record(job: Job) -> ThreatRecord:
    """The threat model as resolved."""
    epsilon: float | tuple[float, float] | None = None
    if job.eps is not None:
        low, high = float(job.eps.min()), float(job.eps.max())
        epsilon = low if low == high else (low, high)
    return ThreatRecord(
        norm=job.norm,
        epsilon=epsilon,
        box=job.box is not None,
        targeted=job.targets is not None,
        pixel_grid=job.pixel_grid,
        rounded=job.rounded,
        limits_sha256=_limits(job),
    )


def _limits(job: Job) -> str:
    """What tells two threat models apart whose smallest and largest radii are equal, or that have a box each."""
    parts = job.box if job.eps is None else (job.eps,)
    if parts is None or (job.eps is not None and bool((job.eps == job.eps[0]).all())):
        return ""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def check_gate(job: Job) -> None:
    """Find out before the attacks that the gate cannot be judged.

    Raises:
        UsageError: it needs what is not there, or asks for two things that do not go together; a baseline that is
            unfinished, or of other samples or another threat model.
    """
    gate = job.gate
    if gate.max_regression is not None and job.baseline is None:
        raise UsageError("max_regression needs a baseline: give --baseline result.json of an earlier run")
    if job.stop_when_decided:
        _check_stop(job)
    if job.baseline is not None:
        ids = list(range(len(job.x))) if job.ids is None else job.ids.tolist()
        targets = [None] * len(ids) if job.targets is None else job.targets.tolist()
        refuse_unfinished(job.baseline, "the baseline")
        refuse_misfit(
            Subject.of(job.baseline), Subject(data_record(job), threat_record(job), ids, targets), "the baseline"
        )


def _check_stop(job: Job) -> None:
    if job.gate.min_robust_accuracy is None:
        raise UsageError("stop_when_decided needs a gate to decide: give --min-robust-accuracy")
    if job.gate.on == "point":
        raise UsageError("stop_when_decided holds an interval against the gate; leave out --gate-on point")
    if job.baseline is not None:
        raise UsageError("a run that stops early has not all samples of the baseline; leave out --stop-when-decided")


def against_baseline(baseline: Result, samples: Sequence[SampleRecord], gate: Gate) -> RegressionRecord:
    """The change since an earlier evaluation of the same samples."""
    old, new = [Standing.of(s) for s in baseline.samples], [Standing.of(s) for s in samples]
    return regression(old, new, gate, baseline=baseline.model.name)
