"""From a finished evaluation to the record of it."""

import platform
from datetime import UTC, date, datetime
from importlib import metadata
from typing import Any

import torch

from .beside import curve, on_grid
from .detection import rejection_record
from .diagnosis import Records, diagnose, examine
from .diagnosis.indicators import NAME as INDICATORS
from .diagnosis.indicators import Indicators
from .diagnosis.low_power import NAME as PLANTED
from .diagnosis.low_power import Power
from .diagnosis.unsound import NAME as CERTIFICATE
from .diagnosis.unsound import Certified
from .evaluation import Evaluated
from .execution.claim import claim_of
from .execution.first_look import described
from .execution.portions import measured
from .execution.scoring import SCORING_DRAWS
from .gallery import gallery
from .model_info import ModelInfo
from .pipeline import Pipeline
from .results import (
    Environment,
    Finding,
    Outcome,
    RejectionRecord,
    Result,
    SampleRecord,
    StochasticRecord,
)
from .stage import Unrollable
from .stochastic import stochastic_record
from .stopping import sequential_record, stopping_words
from .subject import against_baseline, data_record, threat_record
from .trust import CertifiedRecord, PowerRecord
from .verdict import judge
from .waivers import apply_waivers

_PACKAGES = ("torch", "onnx", "onnxruntime-gpu", "onnxruntime", "numpy", "scipy", "adversarial-robustness-toolbox")


def summarise(done: Evaluated, *, seconds: float, version: str, today: date | None = None) -> Result:
    """Findings, verdict and every number of an evaluation; waivers count on `today`, the day in UTC unless given."""
    job, campaign = done.job, done.campaign
    ledger, n = campaign.ledger, int(campaign.ledger.taken.sum())
    unknown = int(ledger.unknown.sum())
    evaluated = int(ledger.seen.sum())
    clean = float(ledger.clean_rate[ledger.seen].sum()) / max(evaluated, 1)
    info = described(campaign, done.probe)
    rejection = rejection_record(done)
    findings = _findings(done, info, clean, evaluated, rejection)
    findings, waivers = apply_waivers(findings, job.waivers, today or datetime.now(UTC).date())
    samples = [_sample(done, i) for i in range(len(job.x))]
    change = None if job.baseline is None else against_baseline(job.baseline, samples, job.gate)
    judgement = judge(
        ledger.proven,
        unknown,
        n,
        job.gate,
        findings,
        rates=ledger.rates.tolist() if campaign.pipeline.random else None,
        interval=measured(campaign) if done.looked else None,
        regression=change,
    )
    looks = None if not done.looked else sequential_record(done.looked, len(job.x), judgement.interval, job.gate)
    result = Result(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        verdict=judgement.verdict,
        explanation=f"{judgement.explanation} {stopping_words(looks)}".rstrip(),
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
        data=data_record(job),
        threat=threat_record(job),
        gate=job.gate,
        gate_parts=judgement.parts,
        suite=str(job.labels.get("suite", "")),
        suite_source=job.labels.get("suite_source", {}),
        seed=job.seed,
        batch_size=campaign.batch,
        plan=[step.entry() for step in done.steps],
        attacks=campaign.records,
        samples=samples,
        passes=campaign.meter.totals(),
        contract=examine(done.probe, info),
        controls_level=job.controls,
        controls=done.controls,
        power=_power(done),
        radii=curve(done),
        grid=on_grid(done),
        regression=change,
        sequential=looks,
        waivers=waivers,
        certified=_certified(done),
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
    still, attackable = campaign.ball.eps <= 0, campaign.ledger.attackable
    return diagnose(
        Records(
            samples=int(campaign.ledger.taken.sum()),
            evaluated=evaluated,
            classes=campaign.classes,
            clean_accuracy=clean,
            probe=done.probe,
            info=info,
            plan=[step.entry() for step in done.steps],
            attacks=campaign.records,
            broken=int(((campaign.ledger.rate < 0.5) & campaign.ledger.taken).sum()),
            blackbox_only=campaign.blackbox_only,
            outcomes=done.outcomes,
            unrun={record.name: record.reason for record in done.controls if record.status == "failed"},
            controls=done.job.controls,
            trained_with=done.job.trained_with,
            threat=threat_record(done.job),
            complete=done.complete,
            zero_radii=int((still & campaign.ledger.taken).sum()),
            immovable=bool(attackable.any()) and not bool((attackable & ~still).any()),
            fits=campaign.trained.fits,
            idle_rule=_idle_rule(campaign.pipeline),
            rejection=rejection,
            claim=claim_of(campaign),
            optimising=tuple(s.label for s in campaign.pipeline.stages if isinstance(s, Unrollable)),
            drift=done.drift,
        )
    )


def _certified(done: Evaluated) -> CertifiedRecord | None:
    found = done.outcomes.get(CERTIFICATE)
    return found.record if isinstance(found, Certified) else None


def _idle_rule(pipeline: Pipeline) -> str:
    return "" if pipeline.random or pipeline.rule.kind == "single" else str(pipeline.rule)


def _draws(done: Evaluated) -> StochasticRecord | None:
    campaign = done.campaign
    if not campaign.scored:
        return None
    return stochastic_record(
        campaign.ledger.clean_rate[campaign.ledger.seen].tolist(),
        campaign.ledger.rates.tolist(),
        samples=int(campaign.ledger.taken.sum()),
        draws=SCORING_DRAWS,
        rule=str(campaign.pipeline.rule),
        confidence=done.job.gate.confidence,
    )


def _sample(done: Evaluated, i: int) -> SampleRecord:
    ledger, job = done.campaign.ledger, done.job
    passes = done.campaign.meter.sample(i)
    outcome: Outcome = "survived"
    if not bool(ledger.known[i]):
        outcome = "not_evaluated"
    elif not bool(ledger.right[i]):
        outcome = "clean_error"
    elif float(ledger.rate[i]) < 0.5:
        outcome = "broken"
    attacked, fired = outcome in ("broken", "survived"), _fired(done, i)
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
        indicators=fired or [],
        evidence=None if fired is None or outcome != "survived" else not fired,
        forward=passes.forward,
        backward=passes.backward,
    )


def _power(done: Evaluated) -> PowerRecord | None:
    """What the plan found of planted adversarial examples; None where none could be planted."""
    found = done.outcomes.get(PLANTED)
    return found.record if isinstance(found, Power) else None


def _fired(done: Evaluated, i: int) -> list[str] | None:
    """The indicators of attack failure that fired for a sample; None where none looked."""
    found = done.outcomes.get(INDICATORS)
    return found.of(i) if isinstance(found, Indicators) else None


def _rate(done: Evaluated, i: int) -> float | None:
    """Where something is known of a sample: how often it is right, also where it seldom is."""
    ledger = done.campaign.ledger
    if not done.campaign.pipeline.random or not bool(ledger.known[i]):
        return None
    return float(ledger.rate[i]) if bool(ledger.attackable[i]) else 0.0


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
