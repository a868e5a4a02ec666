"""The gallery as PNG data URIs: clean, perturbation, adversarial."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..harness.results import GalleryItem

Pixels = npt.NDArray[np.float64]

_SIDE = 224
_LARGEST = 448
_LESS = np.array([0.10, 0.42, 0.86])
_MORE = np.array([0.92, 0.38, 0.06])


@dataclass(frozen=True)
class Picture:
    """One row of the gallery, ready to draw; the images are empty where the pixels cannot be shown."""

    item: GalleryItem
    clean: str = ""
    perturbation: str = ""
    adversarial: str = ""
    factor: str = "1"
    largest: float = 0.0


def picture(item: GalleryItem) -> Picture:
    """The three images of one sample; values outside [0, 1] are clipped, what is not finite is black."""
    clean, adversarial = _pixels(item.clean), _pixels(item.adversarial)
    if clean is None or adversarial is None or clean.shape != adversarial.shape:
        return Picture(item)
    change = adversarial - clean
    largest = float(np.abs(change).max())
    factor = amplification(largest)
    return Picture(
        item,
        _data_uri(clean),
        _data_uri(_diverging(factor * change)),
        _data_uri(adversarial),
        f"{factor:g}",
        largest,
    )


def amplification(largest: float) -> float:
    """The factor, a round number, that brings a change of `largest` just under full strength (0.5)."""
    if largest <= 0:
        return 1.0
    factor = 0.5 / largest
    return float(np.floor(factor)) if factor >= 1 else float(np.floor(10 * factor) / 10) or 0.1


def _pixels(values: list[Any]) -> Pixels | None:
    try:
        image = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.size == 0 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        return None
    return np.clip(np.nan_to_num(image, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)


def _diverging(change: Pixels) -> Pixels:
    # Colour: each channel around mid-grey. One channel: grey to orange where brighter, to blue where darker.
    if change.ndim == 3:
        return np.clip(0.5 + change, 0.0, 1.0)
    strength = np.clip(2 * np.abs(change), 0.0, 1.0)[..., None]
    end = np.where(change[..., None] >= 0, _MORE, _LESS)
    mixed: Pixels = (1 - strength) * 0.5 + strength * end
    return mixed


def _data_uri(pixels: Pixels) -> str:
    image = Image.fromarray(np.round(255 * pixels).astype(np.uint8))
    height, width = pixels.shape[:2]
    times = max(1, _SIDE // max(height, width))
    image = image.resize((width * times, height * times), Image.Resampling.NEAREST)
    image.thumbnail((_LARGEST, _LARGEST))
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
