"""The plan's main gradient attack once more on samples that stand, watched while it climbs.

Source: Pintor et al. 2022, section 3. Deviations: noise (I2) is drawn 20 times rather than 100, of 8/255 or the radius,
whichever is less; what it changes is the margin, because cross-entropy near zero doubles when nothing happens; and it
is measured against the margin or against what the attack gains, whichever is more, because a sample at the boundary
has a margin near zero; every question of a random target is asked with the same draws, because what chance does is
looked at elsewhere. The end of the climb (I4) is the last quarter of the steps of the first start, at most ten.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ...attacks import ATTACKS
from ...attacks.fab import FAB
from ...attacks.pgd import PGD
from ...decision import Decision, Objective
from ...diagnosis.indicators import Indicators
from ...geometry import per_sample
from ...gradients import Queried
from ...planner import Step
from ...target import Problem
from .. import differentiation, questioning
from ..lab import Lab, Tried
from ..local import LocalTarget
from ..trace import Trace
from ..watched import Watched, table
from .entries import settled

NOISE = 8 / 255
NOISES = 20
"""Draws of it per sample."""
_PATIENT = PGD(loss="joint", steps=60, step_size=0.02, start="sample")
_TAIL = 4
_MOST_TAIL = 10


def indicators(lab: Lab) -> Indicators:
    """What each indicator comes to on the samples that the attack still does not break."""
    step, rows = settled(lab), lab.standing()
    tried, watch = _again(lab, step, rows)
    config, stands = step.request.config, (~tried.fell).nonzero().squeeze(1)
    values = {
        "I1": _dead(watch, rows),
        "I2": _unstable(lab, step, tried),
        "I5": _transferred(lab, step, tried),
    }
    if not lab.campaign.pipeline.random:  # there an iterate that broke on a few draws was lucky, no success
        values["I3"] = (table(watch, rows, "broken") > 0).any(dim=0).double()
    if not isinstance(config, FAB):
        values["I4"] = _unfinished(table(watch, rows, "loss")[: getattr(config, "steps", 1)])
    if lab.campaign.job.box is None:  # a box per feature has no wider one
        values["I6"] = _helpless(lab, step, rows)
    return Indicators(
        samples=len(rows),
        attack=step.request.name,
        rows=tuple(rows[stands].tolist()),
        values={name: tuple(values[name][stands].tolist()) for name in sorted(values)},
    )


def _again(lab: Lab, step: Step, rows: Tensor) -> tuple[Tried, Trace]:
    """The attack, and what it asked inside the ball."""
    config, watch, points = step.request.config, Trace(), []
    ball = lab.campaign.ball.to(lab.campaign.job.device)
    for block in torch.split(rows, lab.campaign.block):
        problem = lab.problem(config, block, key="again", step=step)
        assert isinstance(problem.target, LocalTarget)
        watched = Watched.of(problem.target, ball, watch)
        watched_problem = Problem(problem.x, problem.goal, problem.ball, watched, problem.stream, problem.guides)
        points.append(ATTACKS[config.attack].run(watched_problem, config).cpu())
    return lab.judged(rows, torch.cat(points), key="again"), watch


def _helpless(lab: Lab, step: Step, rows: Tensor) -> Tensor:
    """Where the attack fails with the whole box to move in, crossed as in Linf whatever the norm.

    Long steps carry past everything that a detector would accept, so there small ones may try too.
    """
    ball = lab.campaign.ball.select(rows)
    box = replace(ball.with_eps(ball.eps * 0 + 1), norm="linf")
    fell = lab.attack(step.request.config, rows, key="wide", step=step, ball=box).fell
    left = (~fell).nonzero().squeeze(1)
    if lab.campaign.pipeline.rejects and len(left):
        fell[left] = lab.attack(_PATIENT, rows[left], key="patient", step=step, ball=box.select(left)).fell
    return (~fell).double()


def _dead(watch: Trace, rows: Tensor) -> Tensor:
    """The share of its questions that were answered with no direction."""
    return table(watch, rows, "dead").nanmean(dim=0).nan_to_num(1.0)


def _unstable(lab: Lab, step: Step, tried: Tried) -> Tensor:
    """How much noise changes the margin, at most 1; rejection switched off."""
    rows = tried.rows
    problem = lab.problem(step.request.config, rows, key="noise", step=step, head=_answering)
    target, objective = problem.target, Objective("margin", problem.goal)
    assert isinstance(target, LocalTarget)
    stream = target.stream.select(target.rows).child("noise")
    size = per_sample(lab.campaign.radius[rows].clamp(max=NOISE).to(problem.x.device), problem.x)
    here = questioning.judged(target, problem.x, objective, stream).loss
    changes = []
    for draw in range(NOISES):
        noise = stream.child("where").uniform(draw, tuple(problem.x.shape[1:]), -0.5, 0.5)
        near = problem.ball.clip(problem.x + size * noise)
        changes.append((questioning.judged(target, near, objective, stream).loss - here).abs())
    gain = (tried.score.to(here.device) - here).abs().nan_to_num(0.0, 0.0, 0.0)
    whole = torch.maximum(here.abs(), gain)
    share = torch.stack(changes).mean(dim=0) / torch.where(whole > 0, whole, 1.0)
    return share.nan_to_num(1.0).clamp(max=1).double().cpu()


def _answering(decision: Decision, rows: Tensor) -> Decision:  # noqa: ARG001
    return Decision(decision.logits)


def _unfinished(losses: Tensor) -> Tensor:
    """The rise of the best loss over the end of the climb, as a share of what lies between best and worst, (N,)."""
    steps = len(losses)
    if steps < _TAIL:
        return torch.ones(losses.shape[1], dtype=torch.float64)
    known = losses.isfinite()
    best = torch.where(known, losses, -torch.inf).cummax(dim=0).values
    least = torch.where(known, losses, torch.inf).amin(dim=0)
    before = torch.maximum(best[steps - 1 - min(_MOST_TAIL, steps // _TAIL)], least)
    spread = best[-1] - least
    return torch.where(spread > 0, (best[-1] - before) / spread, 0.0).nan_to_num(0.0)


def _transferred(lab: Lab, step: Step, tried: Tried) -> Tensor:
    """Where what the gradient was taken of is fooled and the target is not."""
    assert step.gradient is not None
    if isinstance(step.gradient, Queried):
        return torch.zeros(len(tried.rows), dtype=torch.float64)
    problem = lab.problem(step.request.config, tried.rows, key="transfer", step=step)
    target, objective = problem.target, Objective("margin", problem.goal)
    assert isinstance(target, LocalTarget)
    fooled = []
    for part in torch.split(torch.arange(len(tried.rows)), max(1, lab.campaign.batch // target.draws)):
        some, goals = target.select(part.to(target.device)), objective.select(part.to(target.device))
        stream = some.stream.select(some.rows).child("transfer")
        points = tried.points[part].to(target.device)
        fooled.append(differentiation.answer(some, points, goals, stream, step.gradient).broken.cpu())
    return (torch.cat(fooled) & ~tried.fell).double()
