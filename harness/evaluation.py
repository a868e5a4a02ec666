"""One evaluation: probe, clean pass, ascent, plan, attacks on what still stands, replay, controls, verdict."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import torch

from .diagnosis import Probe, Unbounded
from .errors import ModelError, RobcheckError, UnfinishedError
from .execution.campaign import Campaign
from .execution.draws import agreements
from .execution.first_look import climbs, first_look, with_accuracy, with_gradient
from .execution.job import Job
from .execution.observer import Observer, Silent
from .execution.operating import HeldOut, operate
from .execution.probe import SAMPLES, Asker
from .execution.smoothness import smoothness
from .planner import Step, plan, trials, undecided

_T = TypeVar("_T")


@dataclass
class Evaluated:
    """What an evaluation leaves behind, before it is written down as a Result."""

    job: Job
    campaign: Campaign
    probe: Probe = field(default_factory=Probe)
    steps: list[Step] = field(default_factory=list)
    unbounded: Unbounded | None = None
    held_out: HeldOut = field(default_factory=lambda: HeldOut(torch.empty(0), 0, "the run ended before that"))
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
        campaign.attack(done.steps)
        done.held_out = operate(campaign, done.steps)
        done.unbounded = campaign.unbounded(done.steps)
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


def prepare(done: Evaluated) -> Asker:
    """Everything that comes before the first attack, the plan included.

    Raises:
        ModelError: the model cannot answer the clean samples.
    """
    job, campaign = done.job, done.campaign
    rows = campaign.spread(torch.arange(len(job.x)), SAMPLES)
    asker = Asker(job.pipeline.classifier, campaign.seen(rows), campaign.meter, rows)
    done.probe = _questioned(lambda: first_look(campaign, asker))
    _questioned(campaign.clean_pass)
    targeted = job.targets is not None
    tried = trials(job.requests, campaign.pipeline, job.norm, targeted=targeted)
    ascents = climbs(campaign, tried, labels_only=done.probe.looks_like == "labels")
    done.probe = replace(done.probe, ascents=ascents)
    decide = partial(plan, job.requests, campaign.pipeline, job.norm, targeted=targeted, ascents=ascents)
    found = agreements(campaign, undecided(decide(), campaign.pipeline))
    stability = smoothness(campaign, decide(agreements=found))
    done.steps = decide(agreements=found, stability=stability)
    done.probe = replace(done.probe, stability=stability)
    campaign.observer.planned([step.entry() for step in done.steps])
    done.probe = with_gradient(campaign, done.steps, done.probe)
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
