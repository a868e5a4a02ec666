"""Normalisations with statistics: stored (batch), or taken from the sample itself."""

import torch
from torch import Tensor
from torch.nn import functional

from ..node import Node, UntranslatableError


def _per_channel(value: Tensor, rank: int) -> Tensor:
    return value.reshape(-1, *([1] * (rank - 2)))


def _batch_statistics(node: Node, x: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
    """Mean and variance of the batch, and the stored ones moved towards them."""
    axes = tuple(axis for axis in range(x.dim()) if axis != 1)
    found = x.mean(dim=axes), x.var(dim=axes, correction=0)
    keep = node.number("momentum", 0.9)
    moved = [old * keep + new * (1 - keep) for old, new in zip((mean, variance), found, strict=True)]
    return *found, *moved


def batch_norm(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor | tuple[Tensor, ...]:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias with the stored statistics, or with those of the batch.

    Raises: UntranslatableError.
    """
    if node.integer("training_mode", 0):
        mean, variance, *moved = _batch_statistics(node, x, mean, variance)
        return _normalised(node, x, scale, bias, mean, variance), *moved
    return _normalised(node, x, scale, bias, mean, variance)


def _normalised(node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    if not node.integer("spatial", 1):
        raise UntranslatableError("BatchNormalization per pixel")
    factor = scale * torch.rsqrt(variance + node.number("epsilon", 1e-5))
    if x.dim() == 1:
        return x * factor + (bias - mean * factor)
    return x * _per_channel(factor, x.dim()) + _per_channel(bias - mean * factor, x.dim())


def _standardised(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    centred = x - x.mean(dim=axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dim=axes, keepdim=True) + epsilon)


def instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Every channel of every sample by its own mean and variance."""
    y = _standardised(x, tuple(range(2, x.dim())), node.number("epsilon", 1e-5))
    return y * _per_channel(scale, x.dim()) + _per_channel(bias, x.dim())


def _grouped(node: Node, x: Tensor) -> Tensor:
    groups = node.integer("num_groups", 1)
    y = x.reshape(x.shape[0], groups, -1)
    return _standardised(y, (2,), node.number("epsilon", 1e-5))


def group_norm_18(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Groups of channels, with one scale and bias per group (opset 18)."""
    y = _grouped(node, x) * scale.reshape(1, -1, 1) + bias.reshape(1, -1, 1)
    return y.reshape(x.shape)


def group_norm_21(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Groups of channels, with one scale and bias per channel (opset 21)."""
    y = _grouped(node, x).reshape(x.shape)
    return y * _per_channel(scale, x.dim()) + _per_channel(bias, x.dim())


def layer_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
    """All dimensions from `axis` on, with the optional outputs mean and inverse deviation."""
    axis = node.integer("axis", -1) % x.dim()
    epsilon = node.number("epsilon", 1e-5)
    if len(node.outputs) == 1:
        y = functional.layer_norm(x, x.shape[axis:], None, None, epsilon) * scale
        return y if bias is None else y + bias
    axes = tuple(range(axis, x.dim()))
    mean = x.mean(dim=axes, keepdim=True)
    inverse = torch.rsqrt((x - mean).square().mean(dim=axes, keepdim=True) + epsilon)
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias), mean, inverse


def rms_norm(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * scale over all dimensions from `axis` on."""
    axes = tuple(range(node.integer("axis", -1) % x.dim(), x.dim()))
    return x * torch.rsqrt(x.square().mean(dim=axes, keepdim=True) + node.number("epsilon", 1e-5)) * scale


def mean_variance_norm(node: Node, x: Tensor) -> Tensor:
    """(x - mean) / (deviation + 1e-9) over the axes."""
    axes = tuple(node.integers("axes") or (0, 2, 3))
    centred = x - x.mean(dim=axes, keepdim=True)
    return centred / (centred.square().mean(dim=axes, keepdim=True).sqrt() + 1e-9)


def lp_norm(node: Node, x: Tensor) -> Tensor:
    """x divided by its L1 or L2 norm along one axis."""
    size = torch.linalg.vector_norm(x, node.integer("p", 2), dim=node.integer("axis", -1), keepdim=True)
    return torch.where(size == 0, torch.zeros_like(x), x / torch.where(size == 0, torch.ones_like(size), size))


def lrn(node: Node, x: Tensor) -> Tensor:
    """x / (bias + alpha / size * sum of squares over neighbouring channels) ** beta."""
    size = node.integer("size", 1)
    squares = functional.pad(x.square().movedim(1, -1), ((size - 1) // 2, size // 2))
    total = squares.unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    scaled = node.number("bias", 1.0) + node.number("alpha", 1e-4) / size * total
    return x / scaled ** node.number("beta", 0.75)
