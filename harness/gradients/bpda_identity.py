"""BPDA with the identity for every stage, whatever it declares.

Source: Athalye, Carlini and Wagner 2018, section 4.1.1; valid where E g(x) is close to x.
"""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from ..errors import NoGradientError
from ..randomness import Stream
from ..stage import Resampling, Stage
from ..straight_through import straight_through
from .spec import EstimatorConfig


class BpdaIdentity(EstimatorConfig):
    """Forward as deployed, backward as if every stage handed its pixels on unchanged."""

    kind: Literal["bpda-identity"] = "bpda-identity"


def through(stage: Stage, x: Tensor, stream: Stream) -> Tensor:
    """Pass a stage as if it were the identity on the way back; pixels that it moves are followed.

    Raises:
        NoGradientError: the stage makes something else of pixels than pixels.
    """
    return passed(stage, x, stream)


def passed(stage: Stage, x: Tensor, stream: Stream) -> Tensor:
    """`stage` with its exact forward and the identity, or the adjoint of its resize and padding, on the way back."""
    exact = stage.forward(x.detach(), stream)
    return straight_through(exact, _stand_in(stage, x, exact, stream))


def _stand_in(stage: Stage, x: Tensor, exact: Tensor, stream: Stream) -> Tensor:
    if isinstance(stage, Resampling):
        return stage.resampled(x, stream)
    if exact.shape == x.shape:
        return x
    if x.dim() == exact.dim() == 4 and exact.shape[:2] == x.shape[:2]:
        return functional.interpolate(x, exact.shape[2:], mode="bilinear", align_corners=False)
    raise NoGradientError(
        f"defense {stage.label} turns {tuple(x.shape[1:])} into {tuple(exact.shape[1:])}, which the identity cannot "
        "stand for"
    )
