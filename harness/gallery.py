"""Pictures for the report: clean and adversarial side by side."""

import torch
from torch import Tensor

from .results import GalleryItem, SampleRecord

SIZE = 8


def gallery(
    records: list[SampleRecord], clean: Tensor, adversarial: Tensor, names: tuple[str, ...]
) -> list[GalleryItem]:
    """Up to eight broken samples, spread over the data, as nested lists; empty when samples are no images.

    Args:
        records: one per sample.
        clean: (N, C, H, W) in [0, 1]; other shapes give nothing.
        adversarial: the same for the worst cases found.
        names: class names, or empty.
    """
    if clean.dim() != 4 or clean.shape[1] not in (1, 3) or float(clean.min()) < 0 or float(clean.max()) > 1:
        return []
    broken = [i for i, r in enumerate(records) if r.outcome == "broken"]
    step = max(1, len(broken) // SIZE)
    return [_item(records[i], clean[i], adversarial[i], names) for i in broken[::step][:SIZE]]


def _item(record: SampleRecord, clean: Tensor, adversarial: Tensor, names: tuple[str, ...]) -> GalleryItem:
    def name(index: int | None) -> str:
        if index is None or index < 0:
            return "no prediction"
        return names[index] if index < len(names) else str(index)

    return GalleryItem(
        id=record.id,
        label=name(record.label),
        clean_prediction=name(record.clean_prediction),
        prediction=name(record.prediction),
        attack=record.broken_by or "",
        distance=record.distance or 0.0,
        clean=_pixels(clean),
        adversarial=_pixels(adversarial),
    )


def _pixels(image: Tensor) -> list[object]:
    rounded = (image.clamp(0, 1) * 10000).round() / 10000
    image = rounded[0] if rounded.shape[0] == 1 else rounded.permute(1, 2, 0)
    pixels: list[object] = image.to(torch.float64).tolist()
    return pixels
