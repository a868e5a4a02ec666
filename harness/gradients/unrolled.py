"""Through the steps of a stage that optimises at inference.

Source: Athalye, Carlini and Wagner 2018, section 4.1 (BPDA per operator); Croce et al. 2022, "Evaluating the
adversarial robustness of adaptive test-time defenses", section 4.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor

from ..randomness import Stream
from ..stage import Stage, Unrollable
from .bpda import through as through_surrogate
from .spec import EstimatorConfig


class Unrolled(EstimatorConfig):
    """Backward through the optimisation steps of a stage, with a stand-in for every operator that has no derivative."""

    kind: Literal["unrolled"] = "unrolled"
    last: int | None = Field(None, ge=1, description="steps differentiated, from the end; None: all")


def through(stage: Stage, x: Tensor, stream: Stream, *, last: int | None) -> Tensor:
    """Pass an optimising stage through its steps, any other on its declared surrogate.

    Raises:
        NoGradientError: a stage has neither steps nor a surrogate.
    """
    if isinstance(stage, Unrollable):
        return stage.unrolled(x, stream, last)
    return through_surrogate(stage, x, stream)
