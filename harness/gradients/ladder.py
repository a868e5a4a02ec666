"""What to go on with where a kind of gradient led nowhere: the rungs of the policy's table that make sense."""

from ..pipeline import Pipeline
from ..policy import fitting
from ..traits import traits
from .choice import candidates
from .estimators import (
    AnyEstimator,
    Bpda,
    BpdaIdentity,
    Distilled,
    Exact,
    Nes,
    Reparameterised,
    Smoothed,
    Unrolled,
)
from .fitting import misfit


def ladder(used: AnyEstimator | None, pipeline: Pipeline) -> tuple[AnyEstimator, ...]:
    """The kinds to try after `used` (None: there was no gradient), in order; those that make no sense are left out."""
    rungs: list[AnyEstimator] = []
    for row in fitting("escalate", "climbing", traits(pipeline)):
        rung = _rung(str(row.value), used, pipeline)
        if rung not in rungs and not misfit(rung, pipeline):
            rungs.append(rung)
    kinds = [rung.kind for rung in rungs]
    # What comes before the kind in use is weaker or was tried on the way to it.
    done = kinds.index(used.kind) + 1 if used is not None and used.kind in kinds else 0
    return tuple(rungs[done:])


def _rung(kind: str, used: AnyEstimator | None, pipeline: Pipeline) -> AnyEstimator:
    """The estimator of that kind, as it fits what was in use before."""
    if kind == "smoothed":
        base = used if isinstance(used, Bpda | BpdaIdentity | Unrolled) else None
        passing = base or next(iter(reversed(candidates(pipeline))), Exact())
        around = passing.around if isinstance(passing, Smoothed) else passing.kind
        return Smoothed(around=around) if around in ("exact", "bpda", "bpda-identity", "unrolled") else Smoothed()
    rungs: dict[str, AnyEstimator] = {
        "bpda": Bpda(),
        "bpda-identity": BpdaIdentity(),
        "unrolled": Unrolled(),
        "reparameterised": Reparameterised(),
        "nes": Nes(),
        "distilled": Distilled(),
    }
    return rungs[kind]
