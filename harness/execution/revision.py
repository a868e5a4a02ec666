"""What is added to the plan while it runs: where a gradient is dead or misleads, the attack goes on with another one.

After an attack whose questions were answered with no slope, or with a loss that never moved, and after black-box
attacks that broke what gradient attacks had not. A gradient that the suite fixes is left as it is. Kinds are tried in
the order of the policy's table and used once ten steps along them lead uphill on the deployed model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..attacks.pgd import PGD
from ..gradients import AnyEstimator, Distilled, Queried
from ..gradients.ascent import Ascent
from ..gradients.ladder import ladder
from ..planner import Step
from ..policy import first
from ..request import Request
from ..results import AttackRecord
from ..traits import traits
from . import ascent
from .probe import first_line
from .trace import Pulse

if TYPE_CHECKING:
    from .campaign import Campaign

RUNGS = 2
"""Kinds that one attack goes on with at most."""
REPEATED = 2
"""Attacks that are repeated on one kind of gradient at most."""
QUERIED = 64
"""Samples, those closest to falling, on which a kind that asks for answers begins; all follow once one falls."""
MOST_PASSES = 10_000
"""Per sample, of a repeated attack that asks for answers."""
DEAD = 0.9
"""Share of an attack's questions about a sample that are answered with no slope: nearly all."""
QUESTIONS = 3
"""Fewer of them say nothing."""
STILL = 1e-9
"""A loss that moves by less did not move."""
LIVE_LOSS = "margin"
"""Its slope does not saturate. Source: reference sheet A0; Carlini and Wagner 2017."""


def blind(pulses: Sequence[Pulse]) -> Tensor:
    """Positions of the samples about which an attack learnt nothing."""
    found = [torch.empty(0, dtype=torch.int64)]
    for pulse in pulses:
        nothing = (pulse.dead >= DEAD * pulse.asked) | (pulse.moved <= STILL)
        found.append(pulse.rows[(pulse.asked >= QUESTIONS) & nothing])
    return torch.cat(found)


def after_attack(campaign: "Campaign", step: Step, pulses: Sequence[Pulse]) -> None:
    """Go on with another gradient where this one said nothing, on the samples that still stand."""
    if not _open(step):
        return
    rows, why = blind(pulses), "no slope, or a loss that never moved"
    if campaign.doubt and sum(len(p.rows) for p in pulses):
        rows, why = torch.cat([p.rows for p in pulses]), campaign.doubt
    rows = _standing(campaign, rows)
    if len(rows) == 0:
        return
    campaign.concerned[rows] = True
    reason = f"{step.request.name}: {why} on {len(rows)} standing samples"
    changed = _other_loss(campaign, step, rows, reason)
    if changed is not None:
        _run(campaign, changed, rows)
        rows = _standing(campaign, blind(campaign.pulses.get(changed.request.name, [])))
        if len(rows) == 0:
            return
    _climb_on(campaign, step, rows, reason)


def without_gradient(campaign: "Campaign", step: Step) -> None:
    """Repeat an attack that found no gradient on the answers of the deployed model."""
    if not _open(step) or not campaign.pipeline.no_gradient:
        return
    rows = _standing(campaign, torch.arange(len(campaign.job.x)))
    if len(rows):
        _climb_on(campaign, step, rows, f"{step.request.name}: there is no gradient")


def after_blackbox(campaign: "Campaign", steps: Sequence[Step]) -> None:
    """Black-box attacks broke what gradient attacks had not: go on with other gradients, and see what those find."""
    direct = [step for step in steps if step.runs and _open(step)][:REPEATED]
    for step in direct:
        missed = _missed(campaign)
        if len(missed) == 0:
            return
        reason = f"black-box attacks broke {len(missed)} samples that {step.request.name} had not"
        for rung in _rungs(campaign, step, missed, reason):
            standing = _standing(campaign, torch.arange(len(campaign.job.x)))
            record = _run(campaign, rung, standing)
            campaign.only[missed[campaign.would_fall(rung, missed, record)]] = False
            missed = _missed(campaign)
            if len(missed) == 0:
                return


def _missed(campaign: "Campaign") -> Tensor:
    """Positions of samples that only black-box attacks broke."""
    return (campaign.only & campaign.ledger.active).nonzero().squeeze(1)


def _open(step: Step) -> bool:
    """Whether the suite leaves the gradient of this entry to the plan."""
    return step.direct and step.applies and step.request.gradient == "auto" and not step.revises


def _standing(campaign: "Campaign", rows: Tensor) -> Tensor:
    here = torch.zeros_like(campaign.ledger.standing)
    here[rows] = True
    return (here & campaign.ledger.standing & (campaign.ball.eps > 0)).nonzero().squeeze(1)


def _climb_on(campaign: "Campaign", step: Step, rows: Tensor, reason: str) -> None:
    """Up the ladder on these samples until a gradient moves the loss of them all, or the ladder ends."""
    for rung in _rungs(campaign, step, rows, reason):
        _run(campaign, rung, rows)
        rows = _standing(campaign, blind(campaign.pulses.get(rung.request.name, [])))
        if len(rows) == 0:
            return
        campaign.answered[rows] = False  # it was blind there too


def _rungs(campaign: "Campaign", step: Step, rows: Tensor, reason: str) -> Iterator[Step]:
    """The attack on the first kinds of gradient that lead uphill for these samples, each looked for when it is asked
    for: some have to be trained."""
    found = 0
    for estimator in ladder(step.gradient, campaign.pipeline):
        if found == RUNGS:
            return
        used = [s for s in campaign.adding if s.gradient is not None and s.gradient.label == estimator.label]
        rung = _revised(campaign, step, estimator, reason)
        affordable = not isinstance(estimator, Queried) or rung.passes(campaign.job.x[0].numel()) <= MOST_PASSES
        if len(used) >= REPEATED or not affordable or any(s.request.name == rung.request.name for s in used):
            continue
        seen = uphill(campaign, estimator, rows)
        if seen.leads_uphill:
            text = f"{rung.reason}; ten steps on {estimator.label} lead uphill on {seen.ascended} of {seen.samples}"
            found += 1
            yield replace(rung, reason=text)


def _other_loss(campaign: "Campaign", step: Step, rows: Tensor, reason: str) -> Step | None:
    """The same attack on a loss that does not saturate, where the gradient itself is alive."""
    if getattr(step.request.config, "loss", LIVE_LOSS) not in ("ce", "dlr") or step.gradient is None:
        return None
    if not uphill(campaign, step.gradient, rows).leads_uphill:
        return None
    config = step.request.config.model_copy(update={"loss": LIVE_LOSS})
    request = step.request.model_copy(update={"config": config, "name": f"{step.request.name} + {LIVE_LOSS}"})
    text = f"{reason}; {step.gradient.label} leads uphill on another loss"
    return replace(step, request=request, reason=text, revises=step.request.name)


def _revised(campaign: "Campaign", step: Step, estimator: AnyEstimator, reason: str) -> Step:
    samples = QUERIED if isinstance(estimator, Queried) else step.request.samples
    name = f"{step.request.name} + {estimator.kind}"
    request = step.request.model_copy(update={"name": name, "samples": samples, "closest": 1.0})
    draws = _draws(campaign, step, estimator)
    return Step(request, True, True, estimator, draws, reason, revises=step.request.name, rows=step.rows)


def _draws(campaign: "Campaign", step: Step, estimator: AnyEstimator) -> int:
    """Behind one gradient; what asks for many answers takes fewer draws behind each."""
    here = traits(campaign.pipeline)
    rows = [first("draws", kind, here) for kind in ("climbing", "scores")]
    most, few = (int(row.value) if row is not None and isinstance(row.value, int) else 1 for row in rows)
    wanted = step.draws if step.gradient is not None else most
    return min(wanted, few) if isinstance(estimator, Queried) else wanted


def covered(campaign: "Campaign") -> bool:
    """Whether an added attack took on every standing sample on which those of the plan were blind."""
    return not bool((campaign.concerned & campaign.ledger.standing & ~campaign.answered).any())


def uphill(campaign: "Campaign", estimator: AnyEstimator, rows: Tensor) -> Ascent:
    """Whether ten steps along this kind lead uphill for some of these samples; asked once per kind and samples."""
    rows = campaign.spread(rows, ascent.RANDOM_SAMPLES)
    key = (estimator.label, tuple(rows.tolist()))
    if key not in campaign.climbed:
        draws = ascent.GRADIENT_DRAWS if campaign.pipeline.random else 1
        step = Step(Request(name="ascent", config=PGD()), True, True, estimator, draws, "")
        campaign.observer.started(f"ascent on {estimator.kind}", len(rows), 0)
        try:
            problem = campaign.problem(step, rows, phase="controls")
            target = campaign.target(step, rows, phase="controls")
            labels = campaign.labels_only or campaign.pipeline.classifier.info.output == "labels"
            campaign.climbed[key] = ascent.measure(problem, target, labels_only=labels and _by_gradient(estimator))
        except Exception as error:  # a network that could not be trained leads nowhere
            campaign.lost(error, "the ascent of another gradient")
            campaign.climbed[key] = Ascent(gradient=estimator.label, samples=len(rows), error=first_line(error))
    return campaign.climbed[key]


def _by_gradient(estimator: AnyEstimator) -> bool:
    """Whether a twin can speak for it."""
    return not isinstance(estimator, Queried | Distilled)


def _run(campaign: "Campaign", step: Step, rows: Tensor) -> AttackRecord:
    """Attack these samples; where the step is limited to some of them, the others once one of those falls."""
    campaign.adding.append(step)
    if step.request.name not in [s.request.name for s in campaign.added]:
        campaign.added.append(step)
    most = step.request.samples or len(rows)
    order = campaign.ledger.score[rows].argsort(descending=True, stable=True)
    closest, others = rows[order[:most].sort().values], rows[order[most:].sort().values]
    record = campaign.run(step, closest)
    campaign.answered[closest] |= record.status == "ok"
    if len(others) and record.broken and record.status == "ok":
        campaign.run(step, others, record)
        campaign.answered[others] |= record.status == "ok"
    return record
