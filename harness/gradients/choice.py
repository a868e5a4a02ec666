"""Which kind of gradient gets past what stands in the way: what stages declare, and what climbing showed."""

from collections.abc import Sequence
from statistics import median

from ..pipeline import Pipeline
from .ascent import Ascent, GradientName

TIE = 0.05
"""Rises this close, relative to the larger one, are equal; the exact gradient is then the better founded one."""
_NOTHING = 1e-4
"""A rise below this share of the median one is none."""


def candidates(pipeline: Pipeline) -> tuple[GradientName, ...]:
    """The kinds worth trying, first choice first; none where there is no gradient."""
    if pipeline.no_gradient:
        return ()
    kinds = {stage.surrogate.kind for stage in pipeline.stages}
    if "opaque" in kinds or kinds == {"identity"}:
        return ("bpda-identity",)
    if kinds - {"exact"}:
        return ("bpda",)
    return ("exact", "bpda") if pipeline.classifier.info.obstacles else ("exact",)


def automatic(pipeline: Pipeline, ascents: Sequence[Ascent]) -> tuple[GradientName, str]:
    """The kind to use, and why, for a pipeline that has a gradient."""
    tried = candidates(pipeline)
    if len(tried) > 1:
        return _climbed(pipeline, ascents)
    opaque = [s for s in pipeline.stages if s.surrogate.kind == "opaque"]
    if opaque:
        return tried[0], f"{opaque[0].label} declares no surrogate, so the identity is tried"
    inexact = [s for s in pipeline.stages if s.surrogate.kind != "exact"]
    if inexact:
        return tried[0], f"{inexact[0].label}: {inexact[0].surrogate.reason}"
    return "exact", "differentiable end to end"


def _climbed(pipeline: Pipeline, ascents: Sequence[Ascent]) -> tuple[GradientName, str]:
    obstacles = ", ".join(pipeline.classifier.info.obstacles)
    found = {a.gradient: a for a in ascents}
    if "exact" not in found or "bpda" not in found:
        return "bpda", f"{obstacles}: stand-ins on the way back; no sample to measure them on"
    exact, bpda = (_rise(found[name]) for name in ("exact", "bpda"))
    better = not found["bpda"].error and _advantage(found["bpda"], found["exact"]) > (TIE if pipeline.random else 0.0)
    if better or (found["exact"].error and not found["bpda"].error):
        return "bpda", f"{obstacles}: bpda raises the deployed margin by {bpda:.3g}, exact by {exact:.3g}"
    return "exact", f"{obstacles}: exact raises the deployed margin by {exact:.3g}, bpda by {bpda:.3g}"


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
