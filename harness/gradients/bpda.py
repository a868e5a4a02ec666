"""Backward pass differentiable approximation: each stage's declared surrogate, its exact forward.

Source: Athalye, Carlini and Wagner 2018, section 4.1.
"""

from typing import Literal

from torch import Tensor

from ..errors import NoGradientError
from ..randomness import Stream
from ..stage import Stage
from ..straight_through import straight_through
from .bpda_identity import passed
from .spec import EstimatorConfig


class Bpda(EstimatorConfig):
    """Forward as deployed, backward through each stage's and each operator's declared stand-in."""

    kind: Literal["bpda"] = "bpda"


def through(stage: Stage, x: Tensor, stream: Stream) -> Tensor:
    """Pass a stage on its declared surrogate.

    Raises:
        NoGradientError: the stage declares none (opaque).
    """
    kind = stage.surrogate.kind
    if kind == "exact":
        return stage.forward(x, stream)
    if kind == "identity":
        return passed(stage, x, stream)
    if kind == "named":
        return straight_through(stage.forward(x.detach(), stream), stage.replacement(x, stream))
    raise NoGradientError(f"defense {stage.label} declares no surrogate: {stage.surrogate.reason}")
