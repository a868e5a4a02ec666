"""Defenses in front of a classifier, and what gradients may use in their place."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from .randomness import Stream

SurrogateKind = Literal["exact", "identity", "named", "opaque"]


@dataclass(frozen=True)
class Surrogate:
    """What stands in for a stage on the backward pass, and why; there is no default, because a wrong one flatters.

    exact: the stage is differentiable itself. identity: E g(x) is close to x. named: `Stage.replacement` is a
    differentiable stand-in. opaque: nothing is known to work.
    """

    kind: SurrogateKind
    reason: str


class Stage(Protocol):
    """One defense in front of the classifier: pixels (N, C, H, W) in [0, 1] to what the next one takes."""

    @property
    def label(self) -> str:
        """Name and parameters, as a user writes them."""
        ...

    @property
    def random(self) -> bool:
        """Whether two passes over one input may differ."""
        ...

    @property
    def surrogate(self) -> Surrogate:
        """What gradients use in its place."""
        ...

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """The stage as deployed; differentiable exactly when the surrogate is `exact`."""
        ...

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:
        """The differentiable stand-in of a `named` surrogate."""
        ...


@runtime_checkable
class Resampling(Protocol):
    """A stage that moves or resizes pixels: the identity on the way back has to follow where they went."""

    def resampled(self, x: Tensor, stream: Stream) -> Tensor:
        """The linear part alone (resize, crop, pad) for the same draws; autograd turns it into its adjoint."""
        ...


@runtime_checkable
class Unrollable(Protocol):
    """A stage that optimises at inference and can be differentiated through its steps."""

    @property
    def steps(self) -> int:
        """How many steps it makes."""
        ...

    def unrolled(self, x: Tensor, stream: Stream, last: int | None) -> Tensor:
        """`forward`, bit for bit, with a gradient through the last `last` steps (None: all of them).

        Every operator without a derivative of its own (sign, projection) has a stand-in on the way back; with `last`,
        the point where the differentiated steps begin depends on x as the identity does.
        """
        ...


@runtime_checkable
class Generative(Protocol):
    """A stage that puts every input on the range of a generator."""

    def latent(self, x: Tensor, stream: Stream) -> Tensor:
        """Codes (N, D) whose images are close to x, no gradient."""
        ...

    def generate(self, z: Tensor) -> Tensor:
        """Images (N, C, H, W) of codes z (N, D), differentiable."""
        ...


def reshapes(stage: Stage) -> bool:
    """Whether the stage hands on something of another shape than it takes."""
    return bool(getattr(stage, "reshapes", False))


def quantum(stage: Stage) -> float:
    """The smallest change of a pixel that the stage can notice for certain; 0 where any change may show."""
    return float(getattr(stage, "quantum", 0.0))
