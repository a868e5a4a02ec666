"""Autograd as it is, and nothing where a stage has no gradient of its own."""

from torch import Tensor

from ..errors import NoGradientError
from ..pipeline import Stage
from ..randomness import Stream


def through(stage: Stage, x: Tensor, stream: Stream) -> Tensor:
    """Pass a differentiable stage.

    Raises:
        NoGradientError: the stage is not differentiable.
    """
    if stage.surrogate.kind != "exact":
        raise NoGradientError(f"defense {stage.label} has no exact gradient: {stage.surrogate.reason}")
    return stage.forward(x, stream)
