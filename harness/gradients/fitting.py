"""Combinations of gradient and target that make no sense, and why."""

from ..pipeline import Pipeline
from ..stage import Unrollable
from .estimators import AnyEstimator, Bpda, Distilled, Exact, Queried, Reparameterised, Smoothed, Unrolled


def misfit(estimator: AnyEstimator, pipeline: Pipeline) -> str:
    """Why this kind of gradient makes no sense for this target; empty where it does."""
    if isinstance(estimator, Distilled) and pipeline.rejects:
        return "a student learns classes, and this target also rejects"
    if isinstance(estimator, Queried | Distilled):
        return ""
    if pipeline.no_gradient:
        return f"the model has no gradient ({pipeline.no_gradient})"
    around = estimator.around if isinstance(estimator, Smoothed) else ""
    inexact = [stage for stage in pipeline.stages if stage.surrogate.kind != "exact"]
    if (isinstance(estimator, Exact) or around == "exact") and inexact:
        return f"{inexact[0].label} has no exact gradient"
    opaque = [stage for stage in pipeline.stages if stage.surrogate.kind == "opaque"]
    if (isinstance(estimator, Bpda) or around == "bpda") and opaque:
        return f"{opaque[0].label} declares no surrogate"
    if (isinstance(estimator, Unrolled) or around == "unrolled") and not any(
        isinstance(stage, Unrollable) for stage in pipeline.stages
    ):
        return "no stage optimises at inference"
    blind = [stage for stage in opaque if not isinstance(stage, Unrollable)]
    if (isinstance(estimator, Unrolled) or around == "unrolled") and blind:
        return f"{blind[0].label} has no steps and declares no surrogate"
    if isinstance(estimator, Reparameterised) and not inexact:
        return "no stage is there that a network could stand in for"
    names = [stage.label for stage in inexact]
    twice = [name for name in names if names.count(name) > 1]
    if isinstance(estimator, Reparameterised) and twice:
        return f"two stages are called {twice[0]}, and a network is known by the name of its stage"
    return ""
