"""Arrays in memory to samples: the one path on which pixels are scaled, laid out and checked."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...harness.errors import DataError
from ..preprocessing import Range
from .samples import Samples, Wanted, chosen, finished

Array = np.ndarray[Any, np.dtype[Any]]

_CHANNELS = (1, 3, 4)
_SLACK = 1e-6
_USUAL: tuple[tuple[str, Range], ...] = (("-1-1", (-1.0, 1.0)), ("0-16", (0.0, 16.0)), ("0-255", (0.0, 255.0)))


def from_arrays(
    x: Any, y: Any, *, name: str = "arrays", wanted: Wanted | None = None, class_names: tuple[str, ...] = ()
) -> Samples:
    """Samples from arrays, tensors or lists: x (N, C, H, W), (N, H, W, C), (N, H, W) or (N, D), and labels y (N,).

    uint8 pixels are taken to be in [0, 255], floats in [0, 1].

    Raises:
        DataError: the arrays cannot be used; the text names the place.
    """
    wanted = wanted or Wanted()
    notes: list[str] = []
    pixels, raw = _array(x, "pixels"), _array(y, "labels")
    if pixels.ndim == 0 or pixels.size == 0:
        raise DataError(f"{name} has no samples: check the file or the folder")
    labels = _labels(raw, notes)
    if len(pixels) != len(labels):
        raise DataError(f"{name} has {len(pixels)} samples but {len(labels)} labels: they must belong together")
    limits = _limits(pixels, name, wanted.value_range)
    ids = chosen(len(pixels), wanted)
    tensor = _laid_out(_scaled(pixels[ids], limits), name, wanted, notes)
    return finished(
        tensor,
        torch.from_numpy(labels[ids]),
        torch.from_numpy(ids),
        name=name,
        class_names=class_names,
        notes=notes,
        wanted=wanted,
    )


def _array(values: Any, what: str) -> Array:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return np.asarray((values.float() if values.dtype == torch.bfloat16 else values).numpy())
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"the {what} are of different shapes: give one array of equal samples") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"the {what} are of type {array.dtype}, not numbers: convert them first")
    return array


def _labels(y: Array, notes: list[str]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
        notes.append("the labels were a column (N, 1)")
    if y.ndim != 1:
        raise DataError(f"the labels are {y.shape}, not one integer per sample (N,): turn one-hot rows into integers")
    if y.dtype.kind not in "iu":
        raise DataError(f"the labels are of type {y.dtype}, not integers: convert them first, and count from 0")
    return y.astype(np.int64)


def _limits(x: Array, name: str, stated: Range | None) -> Range:
    """The range that x is in.

    Raises:
        DataError: a pixel is not finite or lies outside of it, or it cannot be known.
    """
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        first = int(np.argwhere(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0, 0])
        raise DataError(f"sample {first} of {name} has pixels that are NaN or infinite: repair or drop it")
    low, high = float(x.min()), float(x.max())
    if stated is None:
        if x.dtype == np.uint8 and high > 1:
            return 0.0, 255.0
        if x.dtype.kind in "iu":
            raise DataError(
                f"{name} has {x.dtype} pixels from {low:g} to {high:g}: say their range{_proposal(low, high)}"
            )
        stated = (0.0, 1.0)
    slack = _SLACK * (stated[1] - stated[0])
    if low < stated[0] - slack or high > stated[1] + slack:
        outside = (x < stated[0] - slack) | (x > stated[1] + slack)
        first = int(np.argwhere(outside.reshape(len(x), -1).any(axis=1))[0, 0])
        raise DataError(
            f"{name} has pixels from {low:g} to {high:g}, outside of {stated[0]:g} to {stated[1]:g} (first in sample "
            f"{first}): say their range{_proposal(low, high)}"
        )
    return stated


def _proposal(low: float, high: float) -> str:
    if low >= 0 and high <= 1:
        return " with --data-range 0-1 or --data-range 0-255"
    fitting = (text for text, (least, most) in _USUAL if least <= low and high <= most)
    text = next(fitting, None)
    return f" with --data-range {text}" if text else ", or undo the normalisation by mean and std"


def _scaled(x: Array, limits: Range) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(x).astype(np.float32))
    if limits != (0.0, 1.0):
        pixels = (pixels - limits[0]).div_(limits[1] - limits[0])
    return pixels.clamp_(0.0, 1.0)


def _laid_out(x: Tensor, name: str, wanted: Wanted, notes: list[str]) -> Tensor:
    """(N, C, H, W) or (N, D), or the wanted shape where one of the two is flat."""
    if x.dim() == 3:
        x = x[:, None] if wanted.shape is None or tuple(x.shape[1:]) != wanted.shape else x
    elif x.dim() == 4:
        x = _channels_first(x, name, wanted, notes)
    elif x.dim() != 2:
        raise DataError(f"{name} has samples of {x.dim() - 1} dimensions: give (N, C, H, W), (N, H, W) or (N, D)")
    shape = wanted.shape
    if shape is None or tuple(x.shape[1:]) == shape or min(shape, default=0) < 1:
        return x
    if x[0].numel() == int(np.prod(shape)) and (_flat(x.shape[1:]) or _flat(shape)):
        notes.append(f"the samples {tuple(x.shape[1:])} were reshaped to the model's {shape}, channels first")
        return x.reshape(-1, *shape)
    return x


def _flat(shape: tuple[int, ...]) -> bool:
    return sum(size > 1 for size in shape) <= 1


def _channels_first(x: Tensor, name: str, wanted: Wanted, notes: list[str]) -> Tensor:
    shape = tuple(x.shape[1:])
    last_to_first = (shape[2], shape[0], shape[1])
    first, last = shape[0] in _CHANNELS, shape[2] in _CHANNELS
    if wanted.layout is not None:
        first, last = wanted.layout == "nchw", wanted.layout == "nhwc"
    elif wanted.shape is not None and (shape == wanted.shape) != (last_to_first == wanted.shape):
        first, last = shape == wanted.shape, last_to_first == wanted.shape
    if first == last:
        raise DataError(
            f"{name} has samples of {shape}, where the channels may be first or last: say --layout nchw or nhwc"
        )
    if first:
        return x
    if wanted.layout is None:
        notes.append(f"the samples {shape} were taken to have their channels last")
    return x.permute(0, 3, 1, 2).contiguous()
