"""Every attack of the plan, with its own parameters, on tiny models whose distance is known."""

from dataclasses import replace

from ...attacks import ATTACKS
from ...attacks.latent import Latent
from ...attacks.transfer import Transfer
from ...decision import MATCHING_LOSSES
from ...diagnosis.attack_unvalidated import CURVED, REACH, SHORT, Attempt, Toys
from ...errors import NotApplicableError
from ...planner import Step
from .. import toys as tiny
from ..lab import Lab


def toys(lab: Lab) -> Toys:
    """Gradient attacks always, on exact gradients; attacks that ask for answers alone with `controls: full`."""
    if lab.campaign.job.norm == "l0":
        raise NotApplicableError("the tiny models have no closed form in L0")
    full = lab.campaign.job.controls == "full"
    steps = [s for s in lab.steps if s.runs and _meaningful(s) and (full or not s.blackbox)]
    if not steps:
        raise NotApplicableError("the plan has no attack whose parameters alone decide what it finds")
    attempts = [_attempt(lab, step) for step in steps]
    # Whether the ball holds is no question of the attack, and whoever cannot win spends all of its steps.
    attempts[0] = replace(attempts[0], impossible=_broken(lab, steps[0], tiny.toys(lab.campaign.job.norm)[0], SHORT))
    return Toys(samples=attempts[0].problems, attempts=tuple(attempts))


def _meaningful(step: Step) -> bool:
    """Not what imitates other samples, searches a generator's codes or crafts on other models."""
    config = step.request.config
    return not isinstance(config, Latent | Transfer) and getattr(config, "loss", "") not in MATCHING_LOSSES


def _attempt(lab: Lab, step: Step) -> Attempt:
    linear, curved = tiny.toys(lab.campaign.job.norm)
    broke = _broken(lab, step, linear, REACH) + _broken(lab, step, curved, CURVED)
    return Attempt(step.request.name, not step.blackbox, 2 * tiny.SAMPLES, broke)


def _broken(lab: Lab, step: Step, model: tiny.Toy, share: float) -> int:
    """How many samples it breaks inside their balls."""
    job, config = lab.campaign.job, step.request.config
    problem = tiny.problem(model, job.norm, share, job.seed, targeted=job.targets is not None)
    points = ATTACKS[config.attack].run(problem, config)
    fell = problem.goal.broken(problem.target.decide(points, 0)) & problem.ball.contains(points)
    return int(fell.sum())
