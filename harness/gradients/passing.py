"""From an estimator's parameters to the way in which it passes a stage."""

from functools import partial

from ..pipeline import Through
from .bpda import through as through_surrogates
from .bpda_identity import through as through_identities
from .exact import through as through_all
from .reparameterised import Nets, Reparameterised
from .reparameterised import through as through_nets
from .smoothed import Smoothed
from .spec import EstimatorConfig
from .unrolled import Unrolled
from .unrolled import through as through_steps

_BY_NAME: dict[str, Through] = {
    "exact": through_all,
    "bpda": through_surrogates,
    "bpda-identity": through_identities,
    "unrolled": partial(through_steps, last=None),
}


def passing(estimator: EstimatorConfig, nets: Nets) -> Through:
    """How `estimator` passes a stage; `nets` are the networks trained in the place of stages, by label."""
    if isinstance(estimator, Unrolled):
        return partial(through_steps, last=estimator.last)
    if isinstance(estimator, Reparameterised):
        return partial(through_nets, nets=nets, forward=estimator.forward)
    if isinstance(estimator, Smoothed):
        return _BY_NAME[estimator.around]
    return _BY_NAME.get(estimator.label.partition(",")[0], through_surrogates)
