"""Adversarial transformation: every input is pushed towards what an external network finds least likely.

Source: Xiao and Zheng 2020, "One Man's Trash is Another Man's Treasure: Resisting Adversarial Examples by Adversarial
Examples", section 3 (distance 0.2, 13 steps). The size of a step is lost from the text: a sixth of the distance here.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ..errors import UsageError
from ..randomness import Stream
from ..stage import Surrogate
from ..straight_through import straight_through
from .held import HeldNetwork
from .spec import FrontStage


class AdversarialTransformation(FrontStage):
    """Attack an external network from a random start and hand the adversarial example on."""

    defense: Literal["adversarial-transformation"] = "adversarial-transformation"
    network: HeldNetwork = Field(description="external network, pixels to logits; given in Python")
    distance: float = Field(0.2, gt=0, le=1, description="how far a pixel may be moved")
    steps: int = Field(13, ge=1, le=1000, description="signed gradient steps")
    alpha: float | None = Field(None, gt=0, le=1, description="size of a step; None: a sixth of the distance")
    clip: bool = Field(False, description="whether what is handed on stays in [0, 1]")

    random: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate(
        "identity", "signed steps have zero gradient almost everywhere, and no pixel moves by more than the distance"
    )

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1] to pixels at most `distance` from them.

        Raises:
            UsageError: the external network gives no gradient.
        """
        return self._path(x, stream)[0][-1]

    def unrolled(self, x: Tensor, stream: Stream, last: int | None) -> Tensor:
        """`forward` with a gradient through its last steps.

        The sign becomes g / (|g| + s), s the mean |g| of the sample; the projection has its derivative, towards the
        bounds as well; which class is least likely does not depend on x. The derivative of g is the external network's
        second: where that is piecewise linear (ReLU), the curvature of the softmax is all that is left of it.
        """
        path, wanted = self._path(x, stream)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return path[-1]
        first = 0 if last is None else max(0, self.steps - last)
        z = straight_through(path[first], self._start(x, stream) if first == 0 else x)
        for after in path[first + 1 :]:
            stepped = z - self._alpha * _soft_sign(self._slope(z, wanted, graph=True))
            z = straight_through(after, self._projected(stepped, x))
        return z

    @property
    def _alpha(self) -> float:
        return self.distance / 6 if self.alpha is None else self.alpha

    def _path(self, x: Tensor, stream: Stream) -> tuple[list[Tensor], Tensor]:
        """The start and the point after every step, no gradient, and the least likely classes (N,)."""
        with torch.inference_mode(False), torch.enable_grad():
            x = self.images(x).detach().clone()
            with torch.no_grad():
                wanted = self.network(x).argmin(dim=1)
            path = [self._start(x, stream)]
            for _ in range(self.steps):
                z = path[-1]
                slope = self._slope(z.detach().requires_grad_(), wanted, graph=False)
                path.append(self._projected(z - self._alpha * slope.sign(), x))
        return path, wanted

    def _start(self, x: Tensor, stream: Stream) -> Tensor:
        noise = stream.uniform(0, tuple(x.shape[1:]), -self.distance, self.distance)
        return self._projected(x + noise.to(x.dtype), x)

    def _projected(self, z: Tensor, x: Tensor) -> Tensor:
        z = z.maximum(x - self.distance).minimum(x + self.distance)
        return z.clamp(0, 1) if self.clip else z

    def _slope(self, z: Tensor, wanted: Tensor, *, graph: bool) -> Tensor:
        loss = functional.cross_entropy(self.network(z), wanted, reduction="sum")
        if not loss.requires_grad:
            raise UsageError(f"defense {self.name()}: the external network gives no gradient to its input")
        (slope,) = torch.autograd.grad(loss, [z], create_graph=graph)
        return slope


def _soft_sign(slope: Tensor) -> Tensor:
    size = slope.detach().abs().flatten(1).mean(dim=1).reshape(-1, *([1] * (slope.dim() - 1)))
    return slope / (slope.abs() + size.clamp(min=torch.finfo(slope.dtype).tiny))
