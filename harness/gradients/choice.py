"""Which kind of gradient gets past what stands in the way: what stages declare, and what climbing showed."""

from collections.abc import Sequence

from ..pipeline import Pipeline
from .ascent import Ascent, GradientName

TIE = 0.05
"""Rises this close, relative to the larger one, are equal; the exact gradient is then the better founded one."""


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
    better = not found["bpda"].error and bpda - exact > TIE * max(abs(exact), abs(bpda))
    if better or (found["exact"].error and not found["bpda"].error):
        return "bpda", f"{obstacles}: bpda raises the deployed margin by {bpda:.3g}, exact by {exact:.3g}"
    return "exact", f"{obstacles}: exact raises the deployed margin by {exact:.3g}, bpda by {bpda:.3g}"


def _rise(ascent: Ascent) -> float:
    return 0.0 if ascent.error else ascent.rise
