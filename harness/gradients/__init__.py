"""Gradient estimators: how a gradient gets past what stands in the way."""

from typing import Literal

from ..pipeline import Through
from . import bpda, bpda_identity, exact

GradientName = Literal["exact", "bpda", "bpda-identity"]

ESTIMATORS: dict[GradientName, Through] = {
    "exact": exact.through,
    "bpda": bpda.through,
    "bpda-identity": bpda_identity.through,
}
