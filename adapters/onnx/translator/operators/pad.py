"""Pad in all modes, on any axes."""

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError
from .values import ints
from .windows import torch_pads


def _reflected(position: int, size: int) -> int:
    period = max(2 * (size - 1), 1)
    position %= period
    return position if position < size else period - position


def _indices(mode: str, size: int, begin: int, end: int) -> list[int]:
    """Where each padded position along one dimension comes from."""
    places = range(-begin, size + end)
    if mode == "edge":
        return [min(max(place, 0), size - 1) for place in places]
    if mode == "wrap":
        return [place % size for place in places]
    return [_reflected(place, size) for place in places]


def _padded(x: Tensor, mode: str, begin: list[int], end: list[int], value: float) -> Tensor:
    if mode == "constant":
        return functional.pad(x, torch_pads(begin, end), value=value)
    if mode not in ("edge", "wrap", "reflect"):
        raise UntranslatableError(f"Pad with the unknown mode {mode!r}")
    for axis, (before, after) in enumerate(zip(begin, end, strict=True)):
        cut = -min(before, 0), -min(after, 0)
        if any(cut):
            x = x.narrow(axis, cut[0], x.shape[axis] - sum(cut))
            before, after = max(before, 0), max(after, 0)
        if before or after:
            index = torch.tensor(_indices(mode, x.shape[axis], before, after), device=x.device)
            x = x.index_select(axis, index)
    return x


def pad_attributes(node: Node, x: Tensor) -> Tensor:
    """pads and value from attributes (opset 2)."""
    pads = node.integers("pads") or [0] * (2 * x.dim())
    return _padded(x, node.text("mode", "constant"), pads[: x.dim()], pads[x.dim() :], node.number("value", 0.0))


def pad_inputs(node: Node, x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
    """pads, value and axes from inputs (opset 11)."""
    sizes = ints(pads)
    chosen = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in ints(axes)]
    begin, end = [0] * x.dim(), [0] * x.dim()
    for place, axis in enumerate(chosen):
        begin[axis], end[axis] = sizes[place], sizes[place + len(chosen)]
    filler = 0.0 if value is None or not value.numel() else float(value.item())
    return _padded(x, node.text("mode", "constant"), begin, end, filler)
