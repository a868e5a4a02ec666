"""RoiAlign: boxes of a feature map pooled to one size."""

import math

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import floats, together


def _grid(start: Tensor, size: Tensor, bins: int, ratio: int) -> Tensor:
    """(boxes, bins * ratio) coordinates of the points that each bin is read at."""
    step = (torch.arange(bins * ratio, dtype=start.dtype, device=start.device) + 0.5) / ratio
    return start[:, None] + step * (size / bins)[:, None]


def _corners(place: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Both neighbours of a coordinate, their weights, and whether it lies on the map."""
    inside = (place >= -1.0) & (place <= size)
    place = place.clamp(min=0)
    low = torch.floor(place).clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    share = torch.where(low >= size - 1, torch.zeros_like(place), place - low)
    return low.long(), high.long(), 1 - share, share, inside


def _pooled(node: Node, maps: Tensor, box: Tensor, ratio: tuple[int, int]) -> Tensor:
    """(boxes, C, out_h, out_w) from one map (boxes, C, H, W) and one box (x1, y1, x2, y2) each."""
    out = node.integer("output_height", 1), node.integer("output_width", 1)
    half = node.text("coordinate_transformation_mode", "half_pixel" if node.opset >= 16 else "output_half_pixel")
    box = box * node.number("spatial_scale", 1.0) - (0.5 if half == "half_pixel" else 0.0)
    extent = box[:, 2:] - box[:, :2]
    extent = extent if half == "half_pixel" else extent.clamp(min=1.0)
    y = _corners(_grid(box[:, 1], extent[:, 1], out[0], ratio[0]), maps.shape[2])
    x = _corners(_grid(box[:, 0], extent[:, 0], out[1], ratio[1]), maps.shape[3])
    boxes = torch.arange(box.shape[0], device=maps.device)[:, None, None]
    inside = y[4][:, :, None] & x[4][:, None, :]
    parts = []
    for down in (0, 1):
        for right in (0, 1):
            weight = torch.where(inside, y[2 + down][:, :, None] * x[2 + right][:, None, :], 0.0)
            read = maps.movedim(1, -1)[boxes, y[down][:, :, None], x[right][:, None, :]]
            parts.append((read * weight[..., None]).movedim(-1, 1))
    largest = node.text("mode", "avg") == "max"
    # max pooling takes the largest weighted corner, not the largest interpolated value
    points = torch.stack(parts).amax(0) if largest else torch.stack(parts).sum(0)
    bins = points.reshape(*points.shape[:2], out[0], ratio[0], out[1], ratio[1])
    return bins.amax((3, 5)) if largest else bins.mean((3, 5))


def _adaptive(node: Node, box: list[float]) -> tuple[int, int]:
    """Points per bin when the file leaves them to the size of the box."""
    scale = node.number("spatial_scale", 1.0)
    half = node.text("coordinate_transformation_mode", "half_pixel" if node.opset >= 16 else "output_half_pixel")
    least = 0.0 if half == "half_pixel" else 1.0
    width, height = (max((box[i + 2] - box[i]) * scale, least) for i in (0, 1))
    return (
        math.ceil(height / node.integer("output_height", 1)),
        math.ceil(width / node.integer("output_width", 1)),
    )


def roi_align(node: Node, x: Tensor, box: Tensor, index: Tensor) -> Tensor:
    """Mean or largest of interpolated points in each bin of each box.

    Raises: UntranslatableError.
    """
    if node.text("mode", "avg") not in ("avg", "max"):
        raise UntranslatableError(f"RoiAlign with the mode {node.text('mode', 'avg')!r}")
    x, box, index = together(x, box.to(x.dtype), index)
    maps = x[index.long()]
    ratio = node.integer("sampling_ratio", 0)
    if ratio > 0:
        return _pooled(node, maps, box, (ratio, ratio))
    pieces = []
    for place in range(box.shape[0]):
        points = _adaptive(node, floats(box[place]))
        if min(points) < 1:
            raise UntranslatableError("RoiAlign of an empty box")
        pieces.append(_pooled(node, maps[place : place + 1], box[place : place + 1], points))
    return torch.cat(pieces)
