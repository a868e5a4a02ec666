"""Which kind of gradient gets past what stands in the way: what stages declare, and what climbing showed."""

from collections.abc import Sequence
from statistics import median

from ..pipeline import Pipeline
from ..policy import Row, first
from ..traits import in_the_way, traits
from .ascent import Ascent
from .estimators import AnyEstimator, Bpda, BpdaIdentity, Exact, Smoothed, Unrolled
from .fitting import misfit

TIE = 0.05
"""Rises this close, relative to the larger one, are equal; the kind that comes first is then the better founded one."""
_NOTHING = 1e-4
"""A rise below this share of the median one is none."""
_KINDS: dict[str, AnyEstimator] = {
    "exact": Exact(),
    "bpda": Bpda(),
    "bpda-identity": BpdaIdentity(),
    "unrolled": Unrolled(),
    "smoothed": Smoothed(),
}


def candidates(pipeline: Pipeline) -> tuple[AnyEstimator, ...]:
    """The kinds worth trying, first choice first; none where there is no gradient."""
    row = None if pipeline.no_gradient else _row(pipeline)
    if row is None or not isinstance(row.value, tuple):
        return ()
    tried: list[AnyEstimator] = [_KINDS[kind] for kind in row.value]
    return tuple(estimator for estimator in tried if not misfit(estimator, pipeline))


def automatic(pipeline: Pipeline, ascents: Sequence[Ascent]) -> tuple[AnyEstimator, str]:
    """The kind to use, and why, for a pipeline that has a gradient."""
    tried, row = candidates(pipeline), _row(pipeline)
    if len(tried) > 1:
        return _climbed(pipeline, tried, ascents)
    stage = in_the_way(pipeline)
    named = {"stage": "", "why": ""} if stage is None else {"stage": stage.label, "why": stage.surrogate.reason}
    return tried[0], row.reason.format(names=_obstacles(pipeline), **named)


def _row(pipeline: Pipeline) -> Row:
    row = first("gradient", "climbing", traits(pipeline))
    assert row is not None
    return row


def _climbed(
    pipeline: Pipeline, tried: tuple[AnyEstimator, ...], ascents: Sequence[Ascent]
) -> tuple[AnyEstimator, str]:
    """The candidate that leads highest on the deployed model; each has to beat the best before it."""
    why = _obstacles(pipeline)
    found = {ascent.gradient: ascent for ascent in ascents}
    if any(estimator.label not in found for estimator in tried):
        # Over operators without a derivative only stand-ins are sure to say something.
        best = tried[1] if isinstance(tried[0], Exact) else tried[0]
        return best, f"{why}: stand-ins on the way back; no sample to measure them on"
    best = tried[0]
    for other in tried[1:]:
        one, incumbent = found[other.label], found[best.label]
        # What asks twenty times as much has to be clearly better.
        least = TIE if pipeline.random or other.neighbours > 1 else 0.0
        better = not one.error and _advantage(one, incumbent) > least
        if better or (incumbent.error and not one.error):
            best = other
    order = [best, *(estimator for estimator in tried if estimator is not best)]
    rises = [f"{estimator.label} by {_rise(found[estimator.label]):.3g}" for estimator in order]
    rises[0] = rises[0].replace(" by ", " raises the deployed margin by ")
    return best, f"{why}: {', '.join(rises)}"


def _obstacles(pipeline: Pipeline) -> str:
    inexact = [stage.label for stage in pipeline.stages if stage.surrogate.kind != "exact"]
    return ", ".join([*inexact, *pipeline.classifier.info.obstacles])


def _advantage(one: Ascent, other: Ascent) -> float:
    """How much higher one climbs, relative to each sample's own rise: no sample with large logits speaks for others.

    The mean over samples; where rises are no chance, any share above 0 is one sample at least on which it matters.
    """
    ours, theirs = one.rises or (one.rise,), other.rises or (_rise(other),)
    if len(ours) != len(theirs):
        ours, theirs = (one.rise,), (_rise(other),)
    sizes = [max(abs(a), abs(b)) for a, b in zip(ours, theirs, strict=True)]
    least = _NOTHING * median(sizes)
    shares = [(a - b) / size for a, b, size in zip(ours, theirs, sizes, strict=True) if size > least]
    return sum(share for share in shares if abs(share) > TIE) / max(1, len(shares))


def _rise(ascent: Ascent) -> float:
    return 0.0 if ascent.error else ascent.rise
