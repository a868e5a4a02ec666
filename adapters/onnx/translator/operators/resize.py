"""Resize and Upsample: nearest by index, linear and cubic by one small matrix per axis."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .resize_axis import Axis
from .values import floats, ints, present

_MODES = ("nearest", "linear", "bilinear", "trilinear", "cubic")


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
def _weights(axis: Axis, mode: str, a: float, exclude: bool, antialias: bool) -> Tensor:
    """(length, size) matrix of interpolation weights in float64."""
    source = axis.source().double()
    base = torch.floor(source)
    stretch = max(1 / axis.scale, 1.0) if antialias else 1.0
    reach = math.ceil((2 if mode == "cubic" else 1) * stretch)
    matrix = torch.zeros(axis.length, axis.size, dtype=torch.float64)
    for tap in range(1 - reach, reach + 1):
        place = base + tap
        distance = (source - place) / stretch
        weight = _cubic(distance, a) if mode == "cubic" else (1 - distance.abs()).clamp(min=0)
        if exclude:
            weight = torch.where((place < 0) | (place >= axis.size), torch.zeros_like(weight), weight)
        matrix.scatter_add_(1, place.long().clamp(0, axis.size - 1)[:, None], weight[:, None])
    return matrix / matrix.sum(1, keepdim=True) if exclude or antialias else matrix


def _resized(node: Node, x: Tensor, axes: list[Axis], rounding: str) -> Tensor:
    mode, antialias = node.text("mode", "nearest"), bool(node.integer("antialias", 0))
    if mode not in _MODES or (antialias and mode == "nearest"):
        raise UntranslatableError(f"{node.key} with the mode {mode!r}{' and antialias' if antialias else ''}")
    mode = "linear" if mode.endswith("linear") else mode
    if mode != "nearest" and not x.is_floating_point():
        if mode == "cubic" or antialias or x.dtype not in (torch.uint8, torch.int8):
            raise UntranslatableError(f"{node.key} with the mode {mode!r} over {x.dtype}")
        # onnxruntime cuts as well; where its own sum misses a whole number by a rounding, it is one step away
        return torch.trunc(_resized(node, x.to(node.precision), axes, rounding)).to(x.dtype)
    exclude = bool(node.integer("exclude_outside", 0)) and (mode == "cubic" or antialias)
    beyond = node.number("extrapolation_value", 0.0)
    for place, axis in enumerate(axes):
        if axis.untouched:
            continue
        if mode == "nearest":
            # before opset 11 there is no attribute, and onnxruntime rounds towards the end where it shrinks
            chosen = rounding or ("ceil" if axis.scale < 1 else "floor")
            index = _nearest(axis.source(), chosen, axis.size)
            x = x.index_select(place, index.to(x.device))
        else:
            matrix = _weights(axis, mode, node.number("cubic_coeff_a", -0.75), exclude, antialias)
            x = (x.movedim(place, -1) @ matrix.to(x.device, x.dtype).T).movedim(-1, place)
    for place, axis in enumerate(axes):
        if axis.transform == "tf_crop_and_resize" and not axis.untouched:
            outside = axis.outside().to(x.device).reshape(-1, *([1] * (x.dim() - 1 - place)))
            x = torch.where(outside, torch.full_like(x, beyond), x)
    return x


def _lengths(node: Node, x: Tensor, scales: list[float]) -> list[int]:
    if len(scales) != x.dim():
        raise UntranslatableError(f"{node.key} with {len(scales)} scales for {x.dim()} dimensions")
    # onnxruntime multiplies in float32, where 10 * 1.1 is not below 11
    return [
        math.floor(torch.tensor(scale, dtype=torch.float32).item() * size)
        for scale, size in zip(scales, x.shape, strict=True)
    ]


def _by_scales(node: Node, x: Tensor, scales: list[float]) -> Tensor:
    lengths = _lengths(node, x, scales)
    axes = [Axis("asymmetric", *sizes) for sizes in zip(x.shape, lengths, scales, strict=True)]
    return _resized(node, x, axes, "")


def upsample_7(node: Node, x: Tensor) -> Tensor:
    """Scales from an attribute."""
    return _by_scales(node, x, node.numbers("scales") or [])


def resize_10(node: Node, x: Tensor, scales: Tensor) -> Tensor:
    """Scales from an input; also Upsample since opset 9."""
    return _by_scales(node, x, floats(scales))


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
    node: Node, x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    """Scales or sizes from inputs, with coordinate and rounding modes.

    Raises: UntranslatableError.
    """
    transform = node.text("coordinate_transformation_mode", "half_pixel")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    chosen = node.integers("axes")
    axes = list(range(x.dim())) if chosen is None else [axis % x.dim() for axis in chosen]
    if sizes is not None and present(sizes):
        lengths, ratios = _fitted(node, x, axes, ints(sizes))
    elif scales is not None and present(scales):
        ratios = [1.0] * x.dim()
        for axis, scale in zip(axes, floats(scales), strict=True):
            ratios[axis] = scale
        lengths = _lengths(node, x, ratios)
    else:
        raise UntranslatableError("Resize without scales and sizes")
    spans = [(0.0, 1.0)] * x.dim()
    if transform == "tf_crop_and_resize":
        corners = [] if roi is None else floats(roi)
        if len(corners) != 2 * len(axes):
            raise UntranslatableError("Resize crops without the part to keep")
        for place, axis in enumerate(axes):
            spans[axis] = corners[place], corners[place + len(axes)]
    every = zip(x.shape, lengths, ratios, spans, strict=True)
    plan = [Axis(transform, size, length, ratio, *span) for size, length, ratio, span in every]
    return _resized(node, x, plan, rounding)
