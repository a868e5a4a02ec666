"""Gradient estimators: how a gradient gets past what stands in the way."""

from ..pipeline import Through
from . import bpda, bpda_identity, exact
from .ascent import GradientName

ESTIMATORS: dict[GradientName, Through] = {
    "exact": exact.through,
    "bpda": bpda.through,
    "bpda-identity": bpda_identity.through,
}

__all__ = ["ESTIMATORS", "GradientName"]
