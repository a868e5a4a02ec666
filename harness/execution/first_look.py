"""What is asked of a model before anything attacks it, in the order in which the answers are needed."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..attacks.pgd import PGD
from ..attacks.transfer import Transfer
from ..diagnosis import Probe
from ..diagnosis.contract.ascent import ascent as ascent_check
from ..diagnosis.contract.gradient import gradient
from ..gradients import AnyEstimator, BpdaIdentity
from ..gradients.ascent import Ascent
from ..model_info import ModelInfo
from ..planner import Step
from ..request import Request
from . import ascent, blindness
from .campaign import Campaign
from .probe import SAMPLES, Asker, first_line, probe_gradient
from .revision import covered
from .slopes import with_slopes


def first_look(campaign: Campaign, asker: Asker) -> Probe:
    """Determinism, batches, finite answers, parity, slopes; the campaign's pipeline learns what it needs of them."""
    classifier, device, rows = campaign.pipeline.classifier, campaign.job.device, asker.rows
    probe = asker.probe(campaign.batch)
    coordinates = campaign.coordinates.select(rows).to(device)
    z = coordinates.from_input(asker.x) if campaign.pipeline.stages else campaign.ball.x[rows].to(device)
    probe = with_slopes(probe, classifier, z, coordinates, campaign.meter, rows)
    campaign.pipeline = replace(campaign.pipeline, noisy_classifier=probe.random, cut_gradient=probe.cut_gradient)
    campaign.slack = 2 * max(0.0, probe.excess, probe.rejection_slack)
    return probe


def climbs(
    campaign: Campaign, estimators: Sequence[AnyEstimator], *, labels_only: bool, rows: Tensor | None = None
) -> tuple[Ascent, ...]:
    """The ascent of each kind of gradient, on the same samples (those that stand, unless given) with room to move."""
    rows = campaign.ledger.standing_rows() if rows is None else rows
    random = campaign.pipeline.random
    rows = campaign.spread(rows[campaign.ball.eps[rows] > 0], ascent.RANDOM_SAMPLES if random else ascent.SAMPLES)
    if len(rows) == 0 or not estimators:
        return ()
    draws = ascent.GRADIENT_DRAWS if random else 1
    request = Request(name="ascent", config=PGD())
    passes = len(rows) * ascent.STEPS * draws * 2
    campaign.observer.started("contract: ascent", len(rows), passes * len(estimators))
    labels = labels_only or campaign.pipeline.classifier.info.output == "labels"
    found = []
    for estimator in estimators:
        step = Step(request, True, True, estimator, draws, "")
        try:
            problem = campaign.problem(step, rows, phase="controls")
        except Exception as error:  # a network that could not be trained leads nowhere; its attacks will say why
            found.append(Ascent(gradient=estimator.label, samples=len(rows), error=first_line(error)))
            continue
        found.append(ascent.measure(problem, campaign.target(step, rows, phase="controls"), labels_only=labels))
    return tuple(found)


def with_gradient(campaign: Campaign, steps: list[Step], probe: Probe) -> Probe:
    """Which gradients the plan uses, and whether the first of them is alive on samples that stand."""
    direct = [s for s in steps if s.runs and not s.blackbox and not isinstance(s.request.config, Transfer)]
    used = tuple(dict.fromkeys(s.gradient.label for s in direct if s.gradient))
    probe = replace(probe, used=used)
    step = next((s for s in steps if s.runs and not s.blackbox and s.gradient), None)
    rows = campaign.spread(campaign.ledger.standing_rows(), SAMPLES)
    if step is None or len(rows) == 0:
        return probe
    try:
        problem = campaign.problem(step, rows, phase="controls")
    except Exception as error:  # as in `climbs`
        return replace(probe, gradient_error=first_line(error))
    target = campaign.target(step, rows, phase="controls")
    probe = probe_gradient(probe, target, problem.ball, problem.goal, problem.stream)
    return _with_long_steps(campaign, step, rows, probe)


def _with_long_steps(campaign: Campaign, step: Step, rows: Tensor, probe: Probe) -> Probe:
    """The gradient of the plan against long steps, where small ones could not speak for it: over obstacles."""
    info = campaign.pipeline.classifier.info
    needed = bool(info.obstacles) or not probe.slope_errors
    silent = probe.random or probe.gradient_error or "labels" in (probe.looks_like, info.output)
    if not needed or silent or campaign.pipeline.stages or isinstance(step.gradient, BpdaIdentity):
        return probe
    chosen = campaign.spread(rows, blindness.SAMPLES)
    problem = campaign.problem(step, chosen, phase="controls")
    try:
        found = blindness.long_steps(problem, campaign.target(step, chosen, phase="controls"))
    except Exception:  # third-party code; what fails here fails in an attack, which is a finding
        return probe
    return replace(probe, long_steps=found)


def doubt(campaign: Campaign, probe: Probe) -> str:
    """Why the gradients of the plan are not believed before they are used; empty where they are."""
    found = [check(probe, campaign.pipeline.classifier.info) for check in (gradient, ascent_check)]
    return ", ".join(finding.code for finding in found if finding.severity == "severe")


def with_revisions(campaign: Campaign, probe: Probe) -> Probe:
    """The probe with the gradients that were added to the plan, judged like the others on samples that are right.

    They speak for the run only where they took on every sample on which the first ones were blind.
    """
    ran = {record.name for record in campaign.records if record.status == "ok"}
    added = [s.gradient for s in campaign.added if s.request.name in ran and s.gradient is not None]
    new = tuple(dict.fromkeys(gradient for gradient in added if gradient.label not in probe.used))
    if not new or not covered(campaign):
        return probe
    rows = (campaign.ledger.right & (campaign.ball.eps > 0)).nonzero().squeeze(1)
    found = climbs(campaign, new, labels_only=campaign.labels_only, rows=rows)
    alive = [ascent.gradient for ascent in found if ascent.leads_uphill]
    campaign.escalated = alive[0] if alive else ""
    return replace(probe, ascents=(*probe.ascents, *found), used=(*probe.used, *alive), escalated=campaign.escalated)


def with_accuracy(campaign: Campaign, probe: Probe) -> Probe:
    """The clean accuracy, and what was expected of it."""
    ledger = campaign.ledger
    seen = int(ledger.seen.sum())
    accuracy = float(torch.where(ledger.seen, ledger.clean_rate, 0.0).sum()) / max(seen, 1)
    return replace(probe, accuracy=accuracy, accuracy_samples=seen, expected_accuracy=campaign.job.expected_accuracy)


def described(campaign: Campaign, probe: Probe) -> ModelInfo:
    """The model's contract as stated, with what these samples told about it."""
    info = campaign.pipeline.classifier.info
    update: dict[str, object] = {"input_shape": info.input_shape or tuple(campaign.job.x.shape[1:])}
    if probe.parity is not None and not probe.random:
        measured = {"parity": probe.parity, "scale": probe.scale, "samples": probe.samples}
        update["twin"] = info.twin.model_copy(update=measured)
    if info.rejection is not None and probe.rejection_parity is not None and not probe.random:
        compared = {"parity": probe.rejection_parity, "scale": probe.rejection_scale}
        update["rejection"] = info.rejection.model_copy(update=compared)
    if campaign.classes:
        update["classes"] = campaign.classes
    return info.model_copy(update=update)
