"""Autograd as it is, and nothing where a stage has no gradient of its own."""

from typing import Literal

from torch import Tensor

from ..errors import NoGradientError
from ..randomness import Stream
from ..stage import Stage
from .spec import EstimatorConfig


class Exact(EstimatorConfig):
    """The derivative of what is deployed."""

    kind: Literal["exact"] = "exact"


def through(stage: Stage, x: Tensor, stream: Stream) -> Tensor:
    """Pass a differentiable stage.

    Raises:
        NoGradientError: the stage is not differentiable.
    """
    if stage.surrogate.kind != "exact":
        raise NoGradientError(f"defense {stage.label} has no exact gradient: {stage.surrogate.reason}")
    return stage.forward(x, stream)
