"""Values between the pixels: GridSample, AffineGrid and the sampler behind them."""

from itertools import product

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import ints, together

_CUBIC = -0.75


def _reflected(place: Tensor, low: float, high: float) -> Tensor:
    """Folded back at both borders until it lies between them."""
    span = high - low
    if span <= 0:
        return torch.full_like(place, low)
    distance = torch.remainder(place - low, 2 * span)
    return low + torch.where(distance > span, 2 * span - distance, distance)


def _folded(place: Tensor, size: int, padding: str, align: bool) -> Tensor:
    """Coordinates outside of the input brought back, except where zeros surround it."""
    low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
    if padding == "zeros":
        return place
    outside = (place < low) | (place > high)
    inside = place.clamp(0, size - 1) if padding == "border" else _reflected(place, low, high)
    return torch.where(outside, inside, place)


def _taps(place: Tensor, mode: str) -> list[tuple[Tensor, Tensor]]:
    """Neighbouring whole coordinates along one axis, each with its weight."""
    if mode == "nearest":
        return [(place, torch.ones_like(place))]
    base = torch.floor(place)
    t = place - base
    if mode == "linear":
        return [(base, 1 - t), (base + 1, t)]
    near = [((_CUBIC + 2) * d - (_CUBIC + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((_CUBIC * d - 5 * _CUBIC) * d + 8 * _CUBIC) * d - 4 * _CUBIC for d in (1 + t, 2 - t)]
    return list(zip([base - 1, base, base + 1, base + 2], [far[0], *near, far[1]], strict=True))


def _index(place: Tensor, size: int, padding: str, align: bool) -> tuple[Tensor, Tensor]:
    """Where a whole coordinate reads, and whether it reads anything."""
    inside = (place >= 0) & (place <= size - 1)
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        place = torch.where(inside, place, _reflected(place, low, high))
    index = place.clamp(0, size - 1).long()
    return index, inside if padding == "zeros" else torch.ones_like(inside)


def sample(x: Tensor, places: list[Tensor], mode: str, padding: str, align: bool = False) -> Tensor:
    """(N, C, *S) read at one coordinate per spatial axis, each (N, *T) in pixels -> (N, C, *T)."""
    shape = places[0].shape
    flat = x.flatten(2)
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    taps = [_taps(place.flatten(1), mode) for place in places]
    for chosen in product(*taps):
        index: Tensor | int = 0
        weight = torch.ones((), dtype=x.dtype, device=x.device)
        for (place, share), size in zip(chosen, x.shape[2:], strict=True):
            at, reads = _index(place, size, padding, align)
            index = index * size + at
            weight = weight * torch.where(reads, share, torch.zeros_like(share))
        where = torch.as_tensor(index).unsqueeze(1).expand(-1, x.shape[1], -1)
        total = total + torch.gather(flat, 2, where) * weight.unsqueeze(1)
    return total.reshape(shape[0], x.shape[1], *shape[1:])


_MODES = {"bilinear": "linear", "linear": "linear", "nearest": "nearest", "bicubic": "cubic", "cubic": "cubic"}


def grid_sample(node: Node, x: Tensor, grid: Tensor) -> Tensor:
    """x read at the grid's points, whose coordinates run from -1 to 1, innermost axis first.

    Raises: UntranslatableError.
    """
    mode = _MODES.get(node.text("mode", "linear"))
    padding, align = node.text("padding_mode", "zeros"), bool(node.integer("align_corners", 0))
    if mode is None or padding not in ("zeros", "border", "reflection") or not x.is_floating_point():
        raise UntranslatableError(f"{node.key} with {node.attributes} over {x.dtype}")
    x, grid = together(x, grid.to(x.dtype))
    places = []
    for axis, size in enumerate(x.shape[2:]):
        point = grid[..., x.dim() - 3 - axis]
        place = (point + 1) / 2 * (size - 1) if align else ((point + 1) * size - 1) / 2
        place = torch.round(place) if mode == "nearest" else place
        # onnxruntime leaves cubic coordinates where they are and moves the neighbours that they read
        clamped = mode == "cubic" and padding == "border"
        places.append(place if clamped else _folded(place, size, padding, align))
    return sample(x, places, mode, padding, align)


def affine_grid(node: Node, theta: Tensor, size: Tensor) -> Tensor:
    """(N, d, d + 1) matrices to the points (N, *spatial, d) that they make of a regular grid.

    Raises: UntranslatableError.
    """
    spatial = ints(size)[2:]
    if theta.shape[-2] != len(spatial) or theta.shape[-1] != len(spatial) + 1:
        raise UntranslatableError(f"{node.key} of {len(spatial)} dimensions with matrices {tuple(theta.shape[-2:])}")
    axes = []
    for length in spatial:
        edge = 1.0 if node.integer("align_corners", 0) else 1 - 1 / length
        axes.append(torch.linspace(-edge, edge, length, dtype=theta.dtype, device=theta.device))
    points = torch.meshgrid(*axes, indexing="ij")[::-1]
    homogeneous = torch.stack([*points, torch.ones_like(points[0])], dim=-1)
    flat = homogeneous.reshape(-1, len(spatial) + 1) @ theta.transpose(-1, -2)
    return flat.reshape(theta.shape[0], *spatial, len(spatial))
