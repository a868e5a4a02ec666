"""One evaluation: clean pass, probe, plan, attacks on what still stands, replay, controls, verdict."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from .diagnosis import Probe, Unbounded
from .diagnosis.nondeterministic import THRESHOLD
from .errors import ModelError, RobcheckError, UnfinishedError
from .execution.campaign import Campaign
from .execution.job import Job
from .execution.observer import Observer, Silent
from .execution.probe import SAMPLES, Asker, probe_gradient
from .planner import Step, plan

_T = TypeVar("_T")

SCORING_DRAWS = 100
"""Fresh draws that score a random target. Source: reference C6, n >= 100."""


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation leaves behind, before it is written down as a Result."""

    job: Job
    campaign: Campaign
    probe: Probe
    steps: list[Step]
    unbounded: Unbounded | None
    drift: float
    """Between the first samples' answers before and after the attacks."""
    complete: bool
    error: UnfinishedError | None
    """Why the run could not finish; what was computed is kept."""


def run(job: Job, observer: Observer | None = None) -> Evaluated:
    """Run a job to its end, an interrupt, or the loss of the device.

    Raises:
        ModelError: the model cannot answer even the clean samples.
    """
    observer = observer or Silent()
    campaign = Campaign.begin(job, observer)
    probe, steps, unbounded, drift = Probe(), list[Step](), None, 0.0
    try:
        asker = Asker(job.pipeline.classifier, campaign.inputs(SAMPLES), campaign.meter)
        probe = _questioned(lambda: asker.probe(campaign.batch))
        noisy = probe.difference > THRESHOLD
        campaign.pipeline = replace(job.pipeline, noisy_classifier=noisy, cut_gradient=probe.cut_gradient)
        steps = plan(job.requests, campaign.pipeline, job.norm, targeted=job.targets is not None)
        observer.planned([step.entry() for step in steps])
        _questioned(campaign.clean_pass)
        probe = _probe_gradient(campaign, steps, probe)
        campaign.slack = 2 * (probe.parity or 0.0)
        campaign.attack(steps)
        unbounded = campaign.unbounded(steps)
        campaign.final_score(SCORING_DRAWS)
        drift = asker.drift()
    except KeyboardInterrupt:
        campaign.interrupt(steps)
        return Evaluated(job, campaign, probe, steps, unbounded, drift, False, None)
    except UnfinishedError as error:
        campaign.interrupt(steps)
        return Evaluated(job, campaign, probe, steps, unbounded, drift, False, error)
    return Evaluated(job, campaign, probe, steps, unbounded, drift, True, None)


def _questioned(ask: Callable[[], _T]) -> _T:
    """Ask the model about clean samples: what it raises here makes it unusable."""
    try:
        return ask()
    except (RobcheckError, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"the model fails on the clean samples: {reason}") from error


def _probe_gradient(campaign: Campaign, steps: list[Step], probe: Probe) -> Probe:
    """The gradient that the first gradient attack will use, on samples that stand."""
    step = next((s for s in steps if s.runs and not s.blackbox and s.gradient), None)
    rows = campaign.ledger.standing_rows()[:SAMPLES]
    if step is None or len(rows) == 0:
        return probe
    problem = campaign.problem(step, rows, phase="controls")
    return probe_gradient(
        probe, campaign.target(step, rows, phase="controls"), problem.ball, problem.goal, problem.stream
    )
