"""JPEG compression as an input transformation.

Source: Guo et al. 2018, "Countering adversarial images using input transformations", section 3 (quality 75).
"""

import io
from typing import ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ..errors import UsageError
from ..randomness import Stream
from ..stage import Surrogate
from .spec import FrontStage


class Jpeg(FrontStage):
    """Compress and decompress every image; Pillow's encoder, chroma subsampling as Pillow does by default."""

    defense: Literal["jpeg"] = "jpeg"
    quality: int = Field(75, ge=1, le=100, description="JPEG quality")

    random: ClassVar[bool] = False
    surrogate: ClassVar[Surrogate] = Surrogate(
        "identity", "quantisation has zero gradient almost everywhere, and the image comes out close to how it went in"
    )

    @property
    def quantum(self) -> float:
        """One of 256 levels, which the encoder rounds to first; a coarse quality can swallow more than that."""
        return 1 / 255

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002 - deterministic
        """Pixels (N, 1 or 3, H, W) in [0, 1] through an encoder and back; a pixel that is NaN stays one.

        Raises:
            UsageError: the samples are no images with 1 or 3 channels.
        """
        if x.dim() != 4 or x.shape[1] not in (1, 3):
            raise UsageError(f"defense jpeg needs images of 1 or 3 channels, these samples are {tuple(x.shape[1:])}")
        known = self.images(x).detach()
        pixels = (known.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        images = np.stack([self._round_trip(image) for image in pixels])
        decoded = (torch.from_numpy(images).to(device=x.device, dtype=x.dtype) / 255).permute(0, 3, 1, 2).contiguous()
        return torch.where(known.isnan(), known, decoded)

    def _round_trip(self, image: np.ndarray) -> np.ndarray:
        channels = image.shape[2]
        buffer = io.BytesIO()
        Image.fromarray(image if channels == 3 else image[:, :, 0]).save(buffer, "JPEG", quality=self.quality)
        with Image.open(buffer) as decoded:
            return np.asarray(decoded).reshape(image.shape)
