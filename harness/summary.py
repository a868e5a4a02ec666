"""From a finished evaluation to the record of it."""

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch

from .detection import rejection_record
from .diagnosis import Records, diagnose, examine
from .evaluation import Evaluated
from .execution.first_look import described
from .execution.scoring import SCORING_DRAWS
from .gallery import gallery
from .model_info import ModelInfo
from .pipeline import Pipeline
from .results import (
    DataRecord,
    Environment,
    Finding,
    Outcome,
    RejectionRecord,
    Result,
    SampleRecord,
    StochasticRecord,
    ThreatRecord,
)
from .stochastic import stochastic_record
from .verdict import judge

_PACKAGES = ("torch", "onnx", "onnxruntime-gpu", "onnxruntime", "numpy", "scipy", "adversarial-robustness-toolbox")


def summarise(done: Evaluated, *, seconds: float, version: str) -> Result:
    """Findings, verdict and every number of an evaluation."""
    job, campaign = done.job, done.campaign
    ledger, n = campaign.ledger, len(job.x)
    unknown = int(ledger.unknown.sum())
    evaluated = int(ledger.seen.sum())
    clean = float(ledger.clean_rate.sum()) / max(evaluated, 1)
    info = described(campaign, done.probe)
    rejection = rejection_record(done)
    findings = _findings(done, info, clean, evaluated, rejection)
    rates = ledger.rates.tolist() if campaign.pipeline.random else None
    judgement = judge(ledger.proven, unknown, n, job.gate, findings, rates=rates)
    samples = [_sample(done, i) for i in range(n)]
    result = Result(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        verdict=judgement.verdict,
        explanation=judgement.explanation,
        against_pass=judgement.against_pass,
        complete=done.complete,
        clean_accuracy=clean,
        robust_accuracy=ledger.proven / max(n - unknown, 1),
        interval=judgement.interval,
        decision_rule=str(campaign.pipeline.rule),
        stochastic=campaign.pipeline.random,
        stochastic_report=_draws(done),
        rejection=rejection,
        model=info,
        defenses=campaign.pipeline.defenses,
        data=job.labels.get("data") or DataRecord(name="arrays", samples=n, sha256="", shape=tuple(job.x.shape[1:])),
        threat=_threat(done),
        gate=job.gate,
        suite=str(job.labels.get("suite", "")),
        suite_source=job.labels.get("suite_source", {}),
        seed=job.seed,
        batch_size=campaign.batch,
        plan=[step.entry() for step in done.steps],
        attacks=campaign.records,
        samples=samples,
        passes=campaign.meter.totals(),
        contract=examine(done.probe, info),
        findings=findings,
        gallery=_gallery(done, samples),
        environment=_environment(job.device, version),
    )
    result._adversarial = ledger.x
    return result


def _findings(
    done: Evaluated, info: ModelInfo, clean: float, evaluated: int, rejection: RejectionRecord | None
) -> list[Finding]:
    campaign = done.campaign
    return diagnose(
        Records(
            samples=len(done.job.x),
            evaluated=evaluated,
            classes=campaign.classes,
            clean_accuracy=clean,
            probe=done.probe,
            info=info,
            plan=[step.entry() for step in done.steps],
            attacks=campaign.records,
            broken=int((campaign.ledger.rate < 0.5).sum()),
            blackbox_only=campaign.blackbox_only,
            unbounded=done.unbounded,
            complete=done.complete,
            zero_radii=int((done.campaign.ball.eps <= 0).sum()),
            fits=campaign.trained.fits,
            idle_rule=_idle_rule(campaign.pipeline),
            rejection=rejection,
            drift=done.drift,
        )
    )


def _idle_rule(pipeline: Pipeline) -> str:
    return "" if pipeline.random or pipeline.rule.kind == "single" else str(pipeline.rule)


def _draws(done: Evaluated) -> StochasticRecord | None:
    campaign = done.campaign
    if not campaign.scored:
        return None
    return stochastic_record(
        campaign.ledger.clean_rate[campaign.ledger.seen].tolist(),
        campaign.ledger.rates.tolist(),
        samples=len(done.job.x),
        draws=SCORING_DRAWS,
        rule=str(campaign.pipeline.rule),
        confidence=done.job.gate.confidence,
    )


def _sample(done: Evaluated, i: int) -> SampleRecord:
    ledger, job = done.campaign.ledger, done.job
    passes = done.campaign.meter.sample(i)
    outcome: Outcome = "survived"
    if bool(ledger.unknown[i]):
        outcome = "not_evaluated"
    elif not bool(ledger.right[i]):
        outcome = "clean_error"
    elif float(ledger.rate[i]) < 0.5:
        outcome = "broken"
    attacked = outcome in ("broken", "survived")
    return SampleRecord(
        id=int(done.campaign.ids[i]),
        label=int(job.y[i]),
        target=None if job.targets is None else int(job.targets[i]),
        outcome=outcome,
        clean_prediction=int(ledger.clean_prediction[i]),
        prediction=int(ledger.prediction[i]) if attacked else None,
        broken_by=ledger.by[i] if outcome == "broken" else None,
        distance=float(ledger.distance[i]) if attacked else None,
        correct_rate=_rate(done, i),
        forward=passes.forward,
        backward=passes.backward,
    )


def _rate(done: Evaluated, i: int) -> float | None:
    """Where something is known of a sample: how often it is right, also where it seldom is."""
    ledger = done.campaign.ledger
    if not done.campaign.pipeline.random or bool(ledger.unknown[i]):
        return None
    return float(ledger.rate[i]) if bool(ledger.attackable[i]) else 0.0


def _threat(done: Evaluated) -> ThreatRecord:
    job = done.job
    epsilon: float | tuple[float, float] | None = None
    if job.eps is not None:
        low, high = float(job.eps.min()), float(job.eps.max())
        epsilon = low if low == high else (low, high)
    return ThreatRecord(norm=job.norm, epsilon=epsilon, box=job.box is not None, targeted=job.targets is not None)


def _gallery(done: Evaluated, samples: list[SampleRecord]) -> list[Any]:
    low, high = done.job.pipeline.classifier.info.bounds
    names = tuple(done.job.labels.get("class_names", ()))
    scale = (high - low) or 1.0
    return list(gallery(samples, (done.job.x - low) / scale, (done.campaign.ledger.x - low) / scale, names))


def _environment(device: str, version: str) -> Environment:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    return Environment(
        robcheck=version,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=packages,
        device=name,
        threads=torch.get_num_threads(),
    )
