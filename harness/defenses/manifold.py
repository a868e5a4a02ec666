"""Projection on the range of a generator.

Source: Samangouei et al. 2018, "Defense-GAN", section 4 (200 steps, 10 starts; momentum descent at rate 10 as in their
code). Any decoder will do; the rate stays as it is for all steps.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..errors import UsageError
from ..randomness import Stream
from ..stage import Surrogate
from ..straight_through import straight_through
from .held import HeldNetwork
from .spec import FrontStage

_MOMENTUM = 0.7


class Manifold(FrontStage):
    """Replace each image by the closest one that a decoder can make, found by gradient descent on its code."""

    defense: Literal["manifold"] = "manifold"
    decoder: HeldNetwork = Field(description="codes (N, size) to images (N, C, H, W); given in Python")
    size: int = Field(ge=1, description="numbers in a code")
    steps: int = Field(200, ge=1, le=100_000, description="descent steps")
    starts: int = Field(10, ge=1, le=1000, description="random codes to start from; the closest image counts")
    rate: float = Field(10.0, gt=0, le=1e6, description="learning rate, on the mean squared error of an image")

    random: ClassVar[bool] = True
    surrogate: ClassVar[Surrogate] = Surrogate(
        "identity", "an image on the range of the decoder comes back as it is, others close to how they went in"
    )

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1] to the decoder's image of the best code.

        Raises:
            UsageError: the decoder makes something else than images like x, or has no gradient.
        """
        with torch.no_grad():
            return self.generate(self.latent(x, stream))

    def latent(self, x: Tensor, stream: Stream) -> Tensor:
        """Codes (N, size), each the best of its starts, no gradient."""
        return self._searched(x, stream, 0)[-1]

    def generate(self, z: Tensor) -> Tensor:
        """The decoder's images of codes z (N, size), differentiable."""
        return self.decoder(z)

    def unrolled(self, x: Tensor, stream: Stream, last: int | None) -> Tensor:
        """`forward` with a gradient through the last steps of the best start; the descent is smooth.

        A code has no identity to fall back on: with `last`, the code where the differentiated steps begin is constant.
        """
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.forward(x, stream)
        kept = self.steps if last is None else min(last, self.steps)
        path = self._searched(x, stream, kept)
        # The speed at the beginning is a constant, and values are those of the path.
        z, speed = path[0].requires_grad_(), torch.zeros_like(path[0])
        for after in path[1:]:
            z, speed = self._descended(z, speed, x, graph=True)
            z = straight_through(after, z)
        with torch.no_grad():
            exact = self.generate(path[-1])
        return straight_through(exact, self.generate(z))

    def _searched(self, x: Tensor, stream: Stream, kept: int) -> list[Tensor]:
        """Of the best start, the codes (N, size) before and after each of the last `kept` steps."""
        with torch.inference_mode(False), torch.enable_grad():
            x = self.images(x).detach().clone()
            several = x.repeat_interleave(self.starts, dim=0)
            z = stream.fold(self.starts).normal(0, (self.size,)).to(x.dtype)
            path, speed = [z], torch.zeros_like(z)
            for step in range(self.steps):
                stepped = self._descended(z.requires_grad_(), speed, several, graph=False)
                z, speed = (part.detach() for part in stepped)
                path = [z] if step < self.steps - kept else [*path, z]
            with torch.no_grad():
                misses = self._missed(z, several).reshape(len(x), self.starts)
                best = misses.nan_to_num(torch.inf).argmin(dim=1)
        rows = best + self.starts * torch.arange(len(x), device=x.device)
        return [codes.detach()[rows] for codes in path]

    def _descended(self, z: Tensor, speed: Tensor, x: Tensor, *, graph: bool) -> tuple[Tensor, Tensor]:
        loss = self._missed(z, x).sum()
        if not loss.requires_grad:
            raise UsageError(f"defense {self.name()}: the decoder gives no gradient to its codes")
        (slope,) = torch.autograd.grad(loss, [z], create_graph=graph)
        speed = _MOMENTUM * speed - self.rate * slope
        return z + speed, speed

    def _missed(self, z: Tensor, x: Tensor) -> Tensor:
        """Mean squared error of each code's image, (N,)."""
        images = self.generate(z)
        if images.shape != x.shape:
            raise UsageError(
                f"defense {self.name()}: the decoder makes {tuple(images.shape[1:])} of a code, the samples are "
                f"{tuple(x.shape[1:])}"
            )
        return (images - x).square().flatten(1).mean(dim=1)
