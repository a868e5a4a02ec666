"""The same numbers in another shape."""

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .values import ints


def identity(_node: Node, x: Tensor) -> Tensor:
    """x itself."""
    return x


def flatten(node: Node, x: Tensor) -> Tensor:
    """A matrix: dimensions before `axis` times the rest."""
    axis = node.integer("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 1 and x.dim() >= 2 and x.numel():
        return x.flatten(1)
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    columns = 1
    for size in x.shape[axis:]:
        columns *= size
    return x.reshape(rows, columns)


def reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """0 copies a dimension unless allowzero is set, -1 is inferred."""
    target = ints(shape)
    if not node.integer("allowzero", 0):
        target = [x.shape[i] if size == 0 else size for i, size in enumerate(target)]
    return x.reshape(target)


def squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without the given dimensions, or without all of size 1."""
    chosen = node.integers("axes") if axes is None else ints(axes)
    if chosen is None:
        return x.squeeze()
    chosen = [axis % x.dim() for axis in chosen] if x.dim() else []
    if any(x.shape[axis] != 1 for axis in chosen):
        raise UntranslatableError("Squeeze of a dimension that is not 1")
    return x.squeeze(tuple(chosen)) if chosen else x


def unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """With dimensions of size 1 at the given places of the result."""
    chosen = (node.integers("axes") if axes is None else ints(axes)) or []
    rank = x.dim() + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


def transpose(node: Node, x: Tensor) -> Tensor:
    """Dimensions in the order of perm, reversed by default."""
    order = node.integers("perm")
    return x.permute(order if order is not None else list(range(x.dim() - 1, -1, -1)))


def dropout(
    node: Node, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """x itself and a mask that keeps everything: inference, or training that drops nothing.

    Raises: UntranslatableError.
    """
    drops = ratio is None or not ratio.numel() or any(ratio.reshape(-1).tolist())
    if training is not None and drops and any(training.reshape(-1).tolist()):
        raise UntranslatableError(f"{node.key} in training mode draws random numbers")
    if node.opset >= 12:
        return x, torch.ones_like(x, dtype=torch.bool)
    # onnxruntime fills the mask of older versions with zeros
    return x, torch.zeros_like(x, dtype=torch.bool if node.opset >= 10 else x.dtype)


def depth_to_space(node: Node, x: Tensor) -> Tensor:
    """(N, C b b, H, W) to (N, C, H b, W b)."""
    n, c, h, w = x.shape
    b = node.integer("blocksize", 1)
    if node.text("mode", "DCR") == "DCR":
        return x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)
    return x.reshape(n, c // (b * b), b, b, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // (b * b), h * b, w * b)


def space_to_depth(node: Node, x: Tensor) -> Tensor:
    """(N, C, H b, W b) to (N, b b C, H, W)."""
    n, c, h, w = x.shape
    b = node.integer("blocksize", 1)
    order = (0, 3, 5, 1, 2, 4) if node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.reshape(n, c, h // b, b, w // b, b).permute(order).reshape(n, c * b * b, h // b, w // b)


def shape(node: Node, x: Tensor) -> Tensor:
    """The dimensions from start to end as int64 on the CPU."""
    start, end = node.integer("start", 0), node.attributes.get("end")
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


def size(_node: Node, x: Tensor) -> Tensor:
    """The number of elements as int64 on the CPU."""
    return torch.tensor(x.numel(), dtype=torch.int64)
