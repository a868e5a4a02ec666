"""Twin and deployed model on the same samples: answer by answer, or in the mean where they draw random numbers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from scipy import stats
from torch import Tensor

from ..classifier import Classifier, Forward, GradientKind
from ..decision import Decision
from ..diagnosis import DIFFERENCE, Probe
from ..model_info import ModelInfo
from ..randomness import Stream
from .answers import apart, comparable, difference
from .meter import Meter
from .rejection_parity import logits_twin, with_rejection_parity

DRAWS = 32
"""Answers of each side whose means are compared."""
RANDOM_SAMPLES = 8
NEAR_SAMPLES = 8
DARKEST = 0.8
"""Share of its value that a feature keeps at least, at points near the samples; the same pattern for all of them."""
ERRORS = 5.0
"""Standard errors that chance may put between two means of one sample and class."""
_ALARM = 1e-3
"""How often chance may put any of the means further apart; many classes need more than five errors."""
_WIDTHS = 0.5
"""How much the variances of the answers of both sides may differ, relative to the larger one."""


@dataclass(frozen=True)
class _Twin:
    """One kind of twin, what it answered, and why there is no gradient in it."""

    forward: Forward
    answer: Tensor | None
    cut: str


def with_parity(
    probe: Probe,
    classifier: Classifier,
    x: Tensor,
    deployed: Decision,
    meter: Meter,
    rows: Tensor,
    lower: Tensor | None = None,
) -> Probe:
    """The probe with what comparing both on x (N, ...) tells; `deployed` are the answers already known.

    `lower` is the least that each feature may be, (N, ...), where that is not the lower bound of the model.

    Each twin is asked as attacks ask it, with gradients enabled: a model may answer otherwise then.
    """
    probe = _with_logits(probe, classifier, x, deployed.logits, meter, rows, lower)
    return with_rejection_parity(
        probe, classifier, x, deployed.rejection, meter, rows,
        draws=DRAWS, samples=RANDOM_SAMPLES, in_the_mean=_compared_in_the_mean,
    )  # fmt: skip


def _with_logits(
    probe: Probe,
    classifier: Classifier,
    x: Tensor,
    deployed: Tensor,
    meter: Meter,
    rows: Tensor,
    lower: Tensor | None,
) -> Probe:
    meter.count("controls", rows, forward=1)
    exact, info = _twin(classifier, "exact", x), classifier.info
    twins = [exact]
    # Stand-ins change the gradient alone, so their answers are compared as well.
    if info.obstacles or exact is None or exact.cut:
        meter.count("controls", rows, forward=1)
        twins.append(_twin(classifier, "bpda", x))
    there = [twin for twin in twins if twin is not None]
    if not there:
        return replace(probe, no_gradient=info.twin.reason or "the model has no differentiable twin")
    if all(twin.cut for twin in there):
        probe = replace(probe, cut_gradient=there[0].cut)
    answered = [twin for twin in there if twin.answer is not None]
    if not answered:
        return probe
    if probe.random:
        meter.count("controls", rows[:RANDOM_SAMPLES], forward=(1 + len(answered)) * DRAWS)
        return _in_the_mean(probe, classifier, [twin.forward for twin in answered], x[:RANDOM_SAMPLES])
    for twin in answered:
        assert twin.answer is not None
        probe = _worse(probe, _answer_by_answer(probe, info, twin.answer, deployed))
    dark = torch.full_like(x, info.bounds[0]) if lower is None else lower.to(x)
    few = slice(0, NEAR_SAMPLES)
    return _off_the_samples(probe, classifier, [twin.forward for twin in answered], x[few], dark[few], meter, rows[few])


def _off_the_samples(
    probe: Probe, classifier: Classifier, twins: list[Forward], x: Tensor, dark: Tensor, meter: Meter, rows: Tensor
) -> Probe:
    """The same at points that no clean sample is: attacks ask there, and a model may be another one there."""
    shade = Stream.create(0, "parity", torch.zeros(1, dtype=torch.int64, device=x.device))
    near = dark + (x - dark) * shade.uniform(0, tuple(x.shape[1:]), DARKEST, 1.0).to(x)
    meter.count("controls", rows, forward=1 + len(twins))
    try:
        with torch.no_grad():
            deployed = classifier.logits(near).float().cpu()
        answers = [_with_gradients(forward, near).detach().float().cpu() for forward in twins]
    except Exception as error:  # as in `_twin`
        return replace(probe, twin_error=f"one of the two fails near the samples ({str(error).partition(chr(10))[0]})")
    for answer in answers:
        probe = _worse(probe, _answer_by_answer(probe, classifier.info, answer, deployed))
    return probe


def _twin(classifier: Classifier, kind: GradientKind, x: Tensor) -> _Twin | None:
    forward = logits_twin(classifier, kind)
    if forward is None:
        return None
    try:
        output = _with_gradients(forward, x)
    except Exception as error:  # the twin runs third-party graphs
        return _Twin(forward, None, f"the twin fails on these samples ({str(error).partition(chr(10))[0]})")
    cut = "" if output.requires_grad else "the output has no gradient (no_grad, detach or numpy inside the model)"
    return _Twin(forward, output.detach().float().cpu(), cut)


def _with_gradients(forward: Forward, x: Tensor) -> Tensor:
    with torch.enable_grad():
        return forward(x.detach().clone().requires_grad_(True))


def _answer_by_answer(probe: Probe, info: ModelInfo, answer: Tensor, deployed: Tensor) -> Probe:
    if answer.shape != deployed.shape:
        shapes = f"it answers {tuple(answer.shape)} where the deployed model answers {tuple(deployed.shape)}"
        return replace(probe, twin_error=shapes)
    usable = ~deployed.isnan().any(dim=1)
    if not bool(usable.any()):
        return probe
    answer, deployed = (comparable(t[usable], info) for t in (answer, deployed))
    labels = info.output == "labels"
    # Of labels there is no distance: they have to be the same wherever the twin is sure.
    scale = float((answer if labels else deployed).nan_to_num(0.0, 0.0, 0.0).abs().max())
    parity = 0.0 if labels else float(apart(answer, deployed).max())
    top = (answer if labels else deployed).topk(2, dim=1).values
    # Two scores may be off, each by as much.
    clear = (top[:, 0] - top[:, 1] > 2 * info.twin.allowed(scale)) | top.isnan().any(dim=1)
    disagrees = int(((answer.argmax(dim=1) != deployed.argmax(dim=1)) & clear).sum())
    return replace(probe, parity=parity, excess=parity, scale=scale, twin_disagrees=disagrees)


def _worse(before: Probe, now: Probe) -> Probe:
    """The comparison that agrees less; NaN is no agreement."""
    if before.parity is None or now.twin_error or not now.excess <= before.excess:
        return now
    return replace(before, twin_disagrees=max(before.twin_disagrees, now.twin_disagrees))


def _in_the_mean(probe: Probe, classifier: Classifier, twins: list[Forward], x: Tensor) -> Probe:
    """Bit parity is impossible between random answers; their means and widths have to agree within chance."""
    info = classifier.info
    with torch.no_grad():
        deployed = _drawn(lambda: classifier.logits(x), info)
    random, found = probe, []
    for twin in twins:
        # The defaults bind the twin of this round.
        answers = _drawn(lambda twin=twin: _with_gradients(twin, x).detach(), info)  # type: ignore[misc]
        found.append(_compared_in_the_mean(random, answers, deployed))
    for other in found:
        if other.twin_error or other.one_sided_noise:
            return other
        probe = _worse(probe, other)
    return probe


def _drawn(ask: Callable[[], Tensor], info: ModelInfo) -> Tensor:
    return torch.stack([comparable(ask().float().cpu(), info).double() for _ in range(DRAWS)])


def _compared_in_the_mean(probe: Probe, answers: Tensor, deployed: Tensor) -> Probe:
    """Both (draws, N, K)."""
    if answers.shape != deployed.shape or not bool(deployed.isfinite().any()):
        return replace(probe, twin_error="their answers have different shapes, or none is finite")
    noisy = [max(difference(side[0], draw) for draw in side) > DIFFERENCE for side in (deployed, answers)]
    if noisy[0] != noisy[1]:
        return replace(probe, one_sided_noise="The deployed model" if noisy[0] else "The differentiable twin")
    if noisy[0] and not _equally_wide(deployed, answers):
        return replace(probe, twin_error="they draw random numbers of different size")
    mean, other = deployed.mean(dim=0), answers.mean(dim=0)
    error = ((deployed.var(dim=0) + answers.var(dim=0)) / DRAWS).sqrt()
    quantile = float(stats.t.ppf(1 - _ALARM / (2 * max(1, error.numel())), 2 * DRAWS - 2))
    off = apart(other, mean)
    return replace(
        probe,
        parity=float(off.max()),
        excess=float((off - max(ERRORS, quantile) * error).max()),
        scale=float(mean.abs().max()),
    )


def _equally_wide(one: Tensor, other: Tensor) -> bool:
    """Whether two sets of answers (draws, N, K) scatter alike, all numbers together, within chance."""
    squares = [
        ((side - side.mean(dim=0)).nan_to_num(0.0, 0.0, 0.0) ** 2).flatten(1).mean(dim=1) for side in (one, other)
    ]
    first, second = (float(square.mean()) for square in squares)
    error = float(((squares[0].var() + squares[1].var()) / DRAWS).sqrt())
    return abs(first - second) <= max(ERRORS * error, _WIDTHS * max(first, second))
