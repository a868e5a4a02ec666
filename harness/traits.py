"""What a target is, in the words of the policy's table."""

from .pipeline import Pipeline
from .policy import Trait
from .stage import Stage, Unrollable

_RANKS = "rank"
"""In the effect of an operator that sorts or picks by order."""


def traits(pipeline: Pipeline) -> frozenset[Trait]:
    """Everything that holds of a pipeline."""
    kinds = {stage.surrogate.kind for stage in pipeline.stages}
    obstacles = pipeline.classifier.info.obstacles
    holds: dict[Trait, bool] = {
        "random": pipeline.random,
        "noisy classifier": pipeline.noisy_classifier,
        "rejecting": pipeline.rejects,
        "accepting": not pipeline.rejects,
        "no gradient": bool(pipeline.no_gradient),
        "differentiable": not pipeline.no_gradient,
        "obstacle": bool(obstacles),
        "sorting": any(_RANKS in effect for effect in obstacles.values()),
        "inexact stage": bool(kinds - {"exact"}),
        "opaque stage": "opaque" in kinds,
        "identity stages": kinds == {"identity"},
        "optimising": any(isinstance(stage, Unrollable) for stage in pipeline.stages),
    }
    return frozenset(trait for trait, there in holds.items() if there)


def in_the_way(pipeline: Pipeline) -> Stage | None:
    """The stage that decides about the gradient: the first opaque one, else the first without an exact one."""
    opaque = [stage for stage in pipeline.stages if stage.surrogate.kind == "opaque"]
    inexact = [stage for stage in pipeline.stages if stage.surrogate.kind != "exact"]
    return next(iter([*opaque, *inexact]), None)
