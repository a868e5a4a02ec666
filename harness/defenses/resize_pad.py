"""Random resizing and padding at inference.

Source: Xie et al. 2018, "Mitigating adversarial effects through randomization", section 3. They enlarge to a bigger
canvas; here the image shrinks inside its own canvas, so that any third-party model with a fixed input can stand behind.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..stage import Surrogate
from .window import WindowStage


class ResizePad(WindowStage):
    """Shrink each image to a random size (bilinear) and zero-pad it back at a random place."""

    defense: Literal["resize-pad"] = "resize-pad"
    smallest: float = Field(0.8, gt=0, lt=1, description="smallest side, as a share of the original")

    surrogate: ClassVar[Surrogate] = Surrogate(
        "exact", "bilinear sampling and padding are differentiable for every draw"
    )

    def _sources(self, side: Tensor, offset: Tensor, length: int) -> Tensor:
        """Where each output position reads from, from -1 to 1 across the image; beyond is padding, (N, length)."""
        position = torch.arange(length, device=side.device)[None, :] + 0.5
        return 2 * (position - offset[:, None]) / side[:, None] - 1
