"""Gradient estimators: how a gradient gets past what stands in the way. One file each, listed in `estimators`."""

from .estimators import (
    ESTIMATORS,
    AnyEstimator,
    Bpda,
    BpdaIdentity,
    Differentiated,
    Distilled,
    EstimatorConfig,
    Exact,
    FiniteDifferences,
    GradientName,
    Nes,
    Queried,
    Reparameterised,
    Smoothed,
    Spsa,
    Unrolled,
)
from .passing import passing
from .reparameterised import Nets

__all__ = [
    "ESTIMATORS",
    "AnyEstimator",
    "Bpda",
    "BpdaIdentity",
    "Differentiated",
    "Distilled",
    "EstimatorConfig",
    "Exact",
    "FiniteDifferences",
    "GradientName",
    "Nes",
    "Nets",
    "Queried",
    "Reparameterised",
    "Smoothed",
    "Spsa",
    "Unrolled",
    "passing",
]
