"""The rejection score of twin and deployed model on the same samples, compared as their logits are."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..classifier import Classifier, Forward, GradientKind, RejectingClassifier, RejectingForward
from ..diagnosis import Probe
from ..model_info import ModelInfo, Rejection
from ..randomness import Stream
from .answers import apart, comparable_score
from .meter import Meter

Compared = Callable[[Probe, Tensor, Tensor], Probe]
"""Means and widths of two sets of answers (draws, N, K)."""
_SATURATED = 1e-3
"""Of a threshold in log-odds: nearer to 0 or 1 a difference of probabilities says too little."""


def logits_twin(classifier: Classifier, kind: GradientKind) -> Forward | None:
    """The twin of the logits as attacks ask it: together with the rejection score where there is one."""
    if not isinstance(classifier, RejectingClassifier):
        return classifier.differentiable(kind)
    both = classifier.differentiable_rejection(kind)
    return None if both is None else lambda x: both(x)[0]


def score_of(excess: Tensor, info: ModelInfo) -> Tensor:
    """The score (N,) in the units in which differences are judged, in float64 on the CPU."""
    excess = excess.detach().cpu().double()
    return excess if info.rejection is None else comparable_score(excess, info.rejection)


def with_rejection_parity(
    probe: Probe, classifier: Classifier, x: Tensor, deployed: Tensor | None, meter: Meter, rows: Tensor,
    *, draws: int, samples: int, in_the_mean: Compared,
) -> Probe:  # fmt: skip
    """The probe with what comparing the scores on x (N, ...) tells; `deployed` (N,) are the excesses already known."""
    if deployed is None or not isinstance(classifier, RejectingClassifier) or probe.no_gradient:
        return probe
    info = classifier.info
    kinds: tuple[GradientKind, ...] = ("exact", "bpda") if info.obstacles else ("exact",)
    twins = [twin for kind in kinds if (twin := classifier.differentiable_rejection(kind)) is not None]
    for twin in twins:
        meter.count("controls", rows, forward=1)
        try:
            excess = _with_gradients(twin, x)
        except Exception as error:  # the twin runs third-party graphs
            line = str(error).partition("\n")[0]
            return replace(probe, twin_error=probe.twin_error or f"its rejection score fails on these samples ({line})")
        if not probe.random:
            probe = _answer_by_answer(probe, info, excess.detach().cpu(), deployed.cpu())
            continue
        meter.count("controls", rows[:samples], forward=2 * draws)
        probe = _drawn(probe, classifier, twin, x[:samples], draws, in_the_mean)
    return replace(probe, cut_rejection=bool(twins) and _cut(classifier, twins, x, deployed, meter, rows))


def _cut(
    classifier: RejectingClassifier,
    twins: list[RejectingForward],
    x: Tensor,
    deployed: Tensor,
    meter: Meter,
    rows: Tensor,
) -> bool:
    """Whether a score that changes has no gradient, neither at the samples nor in noise, where a hinge is not flat."""
    noise = Stream.create(0, "rejection", torch.arange(len(x), device=x.device)).uniform(0, tuple(x.shape[1:]))
    low, high = classifier.info.bounds  # type: ignore[attr-defined]
    noise = low + (high - low) * noise.to(x)
    for twin in twins:
        for points in (x, noise):
            meter.count("controls", rows, forward=1, backward=1)
            if _alive(twin, points):
                return False
    meter.count("controls", rows, forward=1)
    with torch.no_grad():
        seen = torch.cat([deployed.cpu(), classifier.with_rejection(noise)[1].cpu()])
    return bool((seen != seen[0]).any())


def _alive(twin: RejectingForward, x: Tensor) -> bool:
    with torch.enable_grad():
        points = x.detach().clone().requires_grad_(True)
        value = twin(points)[1].sum()
        if not value.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(value, points, allow_unused=True)
    return gradient is not None and bool(gradient.any())


def _with_gradients(twin: RejectingForward, x: Tensor) -> Tensor:
    with torch.enable_grad():
        return twin(x.detach().clone().requires_grad_(True))[1]


def _answer_by_answer(probe: Probe, info: ModelInfo, found: Tensor, deployed: Tensor) -> Probe:
    if found.shape != deployed.shape:
        shapes = f"its rejection score is {tuple(found.shape)} where the deployed one is {tuple(deployed.shape)}"
        return replace(probe, twin_error=shapes)
    usable = ~deployed.isnan()
    if not bool(usable.any()):
        return probe
    one, other = (score_of(excess[usable], info) for excess in (found, deployed))
    off = apart(one, other)
    parity = float((off != 0).double().mean() if _whole(info.rejection) else off.max())
    return _worse(probe, info, parity, parity, float(other.nan_to_num(0.0, 0.0, 0.0).abs().max()))


def _drawn(
    probe: Probe, classifier: RejectingClassifier, twin: RejectingForward, x: Tensor, draws: int, in_the_mean: Compared
) -> Probe:
    info: ModelInfo = classifier.info  # type: ignore[attr-defined]
    with torch.no_grad():
        ours = torch.stack([score_of(classifier.with_rejection(x)[1], info) for _ in range(draws)])
    theirs = torch.stack([score_of(_with_gradients(twin, x), info) for _ in range(draws)])
    # A row of two numbers, so that the direction of the row tells how large the score is.
    scale = max(float(ours.nan_to_num(0.0, 0.0, 0.0).abs().max()), 1e-12)
    rows = (torch.stack([side, torch.full_like(side, scale)], dim=2) for side in (theirs, ours))
    found = in_the_mean(Probe(random=True), *rows)
    if found.twin_error or found.one_sided_noise:
        error = found.twin_error and f"of the rejection score, {found.twin_error}"
        return replace(probe, twin_error=error or probe.twin_error, one_sided_noise=found.one_sided_noise)
    return _worse(probe, info, float(found.parity or 0.0), found.excess, scale)


def _worse(probe: Probe, info: ModelInfo, parity: float, excess: float, scale: float) -> Probe:
    """The comparison that agrees less; NaN is no agreement."""
    if probe.rejection_parity is not None and excess <= probe.rejection_excess:
        return probe
    return replace(
        probe,
        rejection_parity=parity,
        rejection_excess=excess,
        rejection_scale=scale,
        rejection_slack=_in_excess(excess, info.rejection),
    )


def _in_excess(difference: float, record: Rejection | None) -> float:
    """A difference of scores near the threshold, in units of the excess."""
    if _whole(record):
        return 0.0
    if record is None or record.unit != "log-odds":
        return difference
    return difference / max(record.above * (1 - record.above), _SATURATED)


def _whole(record: Rejection | None) -> bool:
    return record is not None and record.unit == "whole"
