"""Resize and Upsample: nearest by index, linear and cubic by one small matrix per axis."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import floats, ints, present

_MODES = ("nearest", "linear", "bilinear", "trilinear", "cubic")


def _source(transform: str, size: int, length: int, scale: float) -> Tensor:
    """Where each of `length` output positions lies on the input axis of `size`."""
    place = torch.arange(length, dtype=torch.float32)
    if transform == "align_corners":
        return place * ((size - 1) / (length - 1)) if length > 1 else place * 0
    if transform == "asymmetric":
        return place / scale
    if transform == "tf_half_pixel_for_nn":
        return (place + 0.5) / scale
    if transform == "pytorch_half_pixel" and length == 1:
        return place * 0
    if transform == "half_pixel_symmetric":
        shift = size / 2 * (1 - length / (scale * size))
        return shift + (place + 0.5) / scale - 0.5
    if transform in ("half_pixel", "pytorch_half_pixel"):
        return (place + 0.5) / scale - 0.5
    raise UntranslatableError(f"Resize with coordinates {transform!r}")


def _nearest(source: Tensor, rounding: str, size: int) -> Tensor:
    rounded = {
        "round_prefer_floor": torch.ceil(source - 0.5),
        "round_prefer_ceil": torch.floor(source + 0.5),
        "floor": torch.floor(source),
        "ceil": torch.ceil(source),
    }.get(rounding)
    if rounded is None:
        raise UntranslatableError(f"Resize with the rounding {rounding!r}")
    return rounded.long().clamp(0, size - 1)


def _cubic(distance: Tensor, a: float) -> Tensor:
    d = distance.abs()
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


@lru_cache(maxsize=64)
def _weights(mode: str, transform: str, size: int, length: int, scale: float, a: float, exclude: bool) -> Tensor:
    """(length, size) matrix of interpolation weights in float64."""
    source = _source(transform, size, length, scale).double()
    base = torch.floor(source)
    taps = range(-1, 3) if mode == "cubic" else range(2)
    matrix = torch.zeros(length, size, dtype=torch.float64)
    for tap in taps:
        place = base + tap
        distance = source - place
        weight = _cubic(distance, a) if mode == "cubic" else 1 - distance.abs()
        if exclude:
            weight = torch.where((place < 0) | (place >= size), torch.zeros_like(weight), weight)
        matrix.scatter_add_(1, place.long().clamp(0, size - 1)[:, None], weight[:, None])
    return matrix / matrix.sum(1, keepdim=True) if exclude else matrix


def _resized(node: Node, x: Tensor, lengths: list[int], scales: list[float], transform: str, rounding: str) -> Tensor:
    mode = node.text("mode", "nearest")
    if mode not in _MODES:
        raise UntranslatableError(f"{node.key} with the mode {mode!r}")
    mode = "linear" if mode.endswith("linear") else mode
    exclude = bool(node.integer("exclude_outside", 0)) and mode == "cubic"
    for axis, (length, scale) in enumerate(zip(lengths, scales, strict=True)):
        size = x.shape[axis]
        if length == size and scale == 1.0:
            continue
        if mode == "nearest":
            index = _nearest(_source(transform, size, length, scale), rounding, size)
            x = x.index_select(axis, index.to(x.device))
        else:
            a = node.number("cubic_coeff_a", -0.75)
            matrix = _weights(mode, transform, size, length, scale, a, exclude).to(x.device, x.dtype)
            x = (x.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return x


def _by_scales(node: Node, x: Tensor, scales: list[float], transform: str, rounding: str) -> Tensor:
    if len(scales) != x.dim():
        raise UntranslatableError(f"{node.key} with {len(scales)} scales for {x.dim()} dimensions")
    # onnxruntime multiplies in float32, where 10 * 1.1 is not below 11
    lengths = [
        math.floor(torch.tensor(scale, dtype=torch.float32).item() * size)
        for scale, size in zip(scales, x.shape, strict=True)
    ]
    return _resized(node, x, lengths, scales, transform, rounding)


def upsample_7(node: Node, x: Tensor) -> Tensor:
    """Scales from an attribute."""
    return _by_scales(node, x, node.numbers("scales") or [], "asymmetric", "floor")


def resize_10(node: Node, x: Tensor, scales: Tensor) -> Tensor:
    """Scales from an input; also Upsample since opset 9."""
    return _by_scales(node, x, floats(scales), "asymmetric", "floor")


def _fitted(node: Node, x: Tensor, axes: list[int], sizes: list[int]) -> tuple[list[int], list[float]]:
    """Lengths and scales of all dimensions for the sizes asked on `axes`."""
    ratios = [size / x.shape[axis] for size, axis in zip(sizes, axes, strict=True)]
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        ratios = [ratio] * len(ratios)
        sizes = [math.floor(ratio * x.shape[axis] + 0.5) for axis in axes]
    lengths, scales = list(x.shape), [1.0] * x.dim()
    for axis, size, ratio in zip(axes, sizes, ratios, strict=True):
        lengths[axis], scales[axis] = size, ratio
    return lengths, scales


def resize_11(
    node: Node, x: Tensor, _roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    """Scales or sizes from inputs, with coordinate and rounding modes.

    Raises: UntranslatableError.
    """
    if node.integer("antialias", 0):
        raise UntranslatableError("Resize with antialias")
    transform = node.text("coordinate_transformation_mode", "half_pixel")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    chosen = node.integers("axes")
    axes = list(range(x.dim())) if chosen is None else [axis % x.dim() for axis in chosen]
    if sizes is not None and present(sizes):
        lengths, ratios = _fitted(node, x, axes, ints(sizes))
        return _resized(node, x, lengths, ratios, transform, rounding)
    if scales is None or not present(scales):
        raise UntranslatableError("Resize without scales and sizes")
    every = [1.0] * x.dim()
    for axis, scale in zip(axes, floats(scales), strict=True):
        every[axis] = scale
    return _by_scales(node, x, every, transform, rounding)
