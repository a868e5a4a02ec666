"""A trained network in the place of a stage: attack f(h(x)), judge on f(g(x)).

Source: "One Man's Trash is Another Man's Treasure", equation 6, h(x + d) ~ g(x; d); Athalye, Carlini and Wagner 2018,
section 4.3 (reparameterisation).
"""

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from ..errors import NoGradientError
from ..randomness import Stream
from ..stage import Stage
from ..straight_through import straight_through
from .spec import EstimatorConfig

Nets = Mapping[str, Callable[[Tensor], Tensor]]
"""Stage label -> its trained stand-in."""


class Reparameterised(EstimatorConfig):
    """Backward through a small network that was trained to do what each stage does."""

    kind: Literal["reparameterised"] = "reparameterised"
    forward: Literal["learned", "exact"] = Field(
        "learned", description="what is asked on the forward pass: the network, or the stage as deployed"
    )
    steps: int = Field(1500, ge=1, description="training steps of each network")
    width: int = Field(32, ge=1, description="channels of its hidden layers")

    @property
    def faithful(self) -> bool:
        """f(h(x)) only resembles f(g(x))."""
        return self.forward == "exact"


def through(stage: Stage, x: Tensor, stream: Stream, *, nets: Nets, forward: str) -> Tensor:
    """Pass a stage on its trained network; one whose gradient is exact needs none.

    Raises:
        NoGradientError: no network was trained for the stage.
    """
    if stage.surrogate.kind == "exact":
        return stage.forward(x, stream)
    if stage.label not in nets:
        raise NoGradientError(f"no network was trained in the place of defense {stage.label}")
    learned = nets[stage.label](x)
    return learned if forward == "learned" else straight_through(stage.forward(x.detach(), stream), learned)
