"""Every kind of gradient, listed here once."""

from typing import Annotated

from pydantic import Field

from .bpda import Bpda
from .bpda_identity import BpdaIdentity
from .distilled import Distilled
from .exact import Exact
from .finite_differences import FiniteDifferences
from .nes import Nes
from .reparameterised import Reparameterised
from .smoothed import Smoothed
from .spec import EstimatorConfig, GradientName
from .spsa import Spsa
from .unrolled import Unrolled

Differentiated = Exact | Bpda | BpdaIdentity | Unrolled | Reparameterised | Smoothed
"""A backward pass through stages and twin."""
Queried = FiniteDifferences | Nes | Spsa
"""Deployed answers alone."""

AnyEstimator = Annotated[Differentiated | Distilled | Queried, Field(discriminator="kind")]

ESTIMATORS: dict[GradientName, type[EstimatorConfig]] = {
    "exact": Exact,
    "bpda": Bpda,
    "bpda-identity": BpdaIdentity,
    "unrolled": Unrolled,
    "reparameterised": Reparameterised,
    "smoothed": Smoothed,
    "distilled": Distilled,
    "finite-differences": FiniteDifferences,
    "nes": Nes,
    "spsa": Spsa,
}

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
    "Queried",
    "Reparameterised",
    "Smoothed",
    "Spsa",
    "Unrolled",
]
