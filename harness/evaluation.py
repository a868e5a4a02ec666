"""One evaluation: probe, clean pass, ascent, plan, attacks on what still stands, replay, controls, verdict."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import torch

from .diagnosis import Probe
from .diagnosis.outcome import Outcome
from .errors import ModelError, RobcheckError, UnfinishedError
from .execution.campaign import Campaign
from .execution.controls import run_controls, scheduled
from .execution.draws import agreements
from .execution.first_look import climbs, doubt, first_look, with_accuracy, with_gradient, with_revisions
from .execution.job import Job
from .execution.observer import Observer, Silent
from .execution.operating import HeldOut, operate
from .execution.portions import attack_in_portions
from .execution.probe import SAMPLES, Asker
from .execution.smoothness import smoothness
from .planner import Step, plan, trials, undecided
from .results import ControlRecord

_T = TypeVar("_T")


@dataclass
class Evaluated:
    """What an evaluation leaves behind, before it is written down as a Result."""

    job: Job
    campaign: Campaign
    probe: Probe = field(default_factory=Probe)
    steps: list[Step] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """What the control experiments brought, by their names."""
    controls: list[ControlRecord] = field(default_factory=list)
    held_out: HeldOut = field(default_factory=lambda: HeldOut(torch.empty(0), 0, "the run ended before that"))
    looked: list[int] = field(default_factory=list)
    """Samples taken at each look, where the run stops when its gate is decided."""
    drift: float = 0.0
    """Between the first samples' answers before and after the attacks."""
    complete: bool = False
    error: UnfinishedError | None = None
    """Why the run could not finish; what was computed is kept."""


def run(job: Job, observer: Observer | None = None) -> Evaluated:
    """Run a job to its end, an interrupt, or the loss of the device.

    Raises:
        ModelError: the model cannot answer even the clean samples.
    """
    campaign = Campaign.begin(job, observer or Silent())
    done = Evaluated(job, campaign)
    try:
        asker = prepare(done)
        try:
            if job.stop_when_decided:
                done.looked = attack_in_portions(campaign, lambda: done.steps, lambda: campaign.attack(done.steps))
            else:
                campaign.attack(done.steps)
        finally:
            done.steps = [*done.steps, *campaign.added]
        done.probe = with_revisions(campaign, done.probe)
        done.held_out = operate(campaign, done.steps)
        run_controls(scheduled(job.controls), campaign, done.steps, outcomes=done.outcomes, records=done.controls)
        campaign.final_score()
        done.drift = asker.drift()
        done.complete = True
    except KeyboardInterrupt:
        _interrupt(done)
    except UnfinishedError as error:
        done.error = error
        _interrupt(done)
    done.probe = with_accuracy(campaign, done.probe)
    return done


def look_ahead(job: Job, observer: Observer | None = None) -> list[Step]:
    """The plan of a job: everything that comes before the first attack, and nothing else.

    Raises:
        ModelError: the model cannot answer even the clean samples.
    """
    done = Evaluated(job, Campaign.begin(job, observer or Silent()))
    prepare(done)
    return done.steps


def prepare(done: Evaluated) -> Asker:
    """Everything that comes before the first attack, the plan included.

    Raises:
        ModelError: the model cannot answer the clean samples.
    """
    job, campaign = done.job, done.campaign
    rows = campaign.spread(torch.arange(len(job.x)), SAMPLES)
    lower = None if job.box is None else job.box[0][rows]
    asker = Asker(job.pipeline.classifier, campaign.seen(rows), campaign.meter, rows, lower)
    done.probe = _questioned(lambda: first_look(campaign, asker))
    _questioned(campaign.clean_pass)
    targeted = job.targets is not None
    tried = trials(job.requests, campaign.pipeline, job.norm, targeted=targeted)
    ascents = climbs(campaign, tried, labels_only=done.probe.looks_like == "labels")
    done.probe = replace(done.probe, ascents=ascents)
    decide = partial(plan, job.requests, campaign.pipeline, job.norm, targeted=targeted, ascents=ascents)
    found = agreements(campaign, undecided(decide(), campaign.pipeline))
    decide = partial(decide, scale=done.probe.scale)
    stability = smoothness(campaign, decide(agreements=found))
    done.steps = decide(agreements=found, stability=stability)
    done.probe = replace(done.probe, stability=stability)
    campaign.observer.planned([step.entry() for step in done.steps])
    done.probe = with_gradient(campaign, done.steps, done.probe)
    campaign.labels_only, campaign.doubt = done.probe.looks_like == "labels", doubt(campaign, done.probe)
    return asker


def _interrupt(done: Evaluated) -> None:
    """Write down what did not run; a run that ended before its plan was made has the one that it would have begun."""
    job, campaign = done.job, done.campaign
    done.steps = done.steps or plan(job.requests, campaign.pipeline, job.norm, targeted=job.targets is not None)
    campaign.interrupt(done.steps)


def _questioned(ask: Callable[[], _T]) -> _T:
    """Ask the model about clean samples: what it raises here makes it unusable."""
    try:
        return ask()
    except (RobcheckError, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"the model fails on the clean samples: {reason}") from error
