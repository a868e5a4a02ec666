"""What happens to features before a classical model: scaling, normalising, filling, choosing, joining."""

import torch
from torch import Tensor
from torch.nn import functional

from .....soft import soft_step
from ...node import Node, UntranslatableError
from ..obstacle import THRESHOLDS, Obstacle
from ..values import together
from .transforms import weights


def scaler(node: Node, x: Tensor) -> Tensor:
    """(x - offset) * scale, per feature or the same for all."""
    offset, scale = (weights(node, key, x.new_empty(0, dtype=node.precision)) for key in ("offset", "scale"))
    if x.dim() > 2 and len(scale) > 1:
        raise UntranslatableError(f"{node.key} per feature over {x.dim()} dimensions")
    return ((x - offset) * scale).to(node.precision)


def normalizer(node: Node, x: Tensor) -> Tensor:
    """Every row over its largest element, its sum of sizes or its length; a row that gives zero stays as it is.

    Raises: UntranslatableError.
    """
    if x.dim() > 2:
        raise UntranslatableError(f"{node.key} over {x.dim()} dimensions")
    x = x.to(node.precision)
    name = node.text("norm", "MAX")
    if name == "MAX":
        size = x.amax(-1, keepdim=True)
    elif name in ("L1", "L2"):
        wide = torch.where(x.abs().amax(-1, keepdim=True) == 0, torch.ones_like(x), x)
        size = wide.abs().sum(-1, keepdim=True) if name == "L1" else wide.square().sum(-1, keepdim=True).sqrt()
    else:
        raise UntranslatableError(f"{node.key} with the norm {name!r}")
    return x / torch.where(size == 0, torch.ones_like(size), size)


def imputer(node: Node, x: Tensor) -> Tensor:
    """What equals one value, or is not a number, replaced by another, per feature or the same for all.

    Raises: UntranslatableError.
    """
    replaced: float
    if x.is_floating_point():
        values, replaced = weights(node, "imputed_value_floats", x), node.number("replaced_value_float", 0.0)
    else:
        values = torch.tensor(node.integers("imputed_value_int64s") or [], dtype=x.dtype, device=x.device)
        replaced = node.integer("replaced_value_int64", 0)
    if not len(values) or (x.dim() > 2 and len(values) > 1):
        raise UntranslatableError(f"{node.key} with {len(values)} values over {x.dim()} dimensions")
    gone = torch.isnan(x) if replaced != replaced else x == replaced
    return torch.where(gone, values if len(values) == x.shape[-1] else values[0], x)


def _binarized(node: Node, x: Tensor) -> Tensor:
    return (x > node.number("threshold", 0.0)).to(x.dtype)


def _softly_binarized(node: Node, x: Tensor) -> Tensor:
    return soft_step(x - node.number("threshold", 0.0))


BINARIZER = Obstacle(_binarized, THRESHOLDS, _softly_binarized)


def feature_vectorizer(node: Node, *values: Tensor) -> Tensor:
    """All inputs side by side, each cut or filled with zeros to its width."""
    parts = []
    for value, width in zip(together(*values), node.integers("inputdimensions") or [], strict=True):
        part = (value.reshape(1, -1) if value.dim() == 1 else value.flatten(1)).to(node.precision)
        parts.append(functional.pad(part, [0, width - part.shape[1]]))
    return torch.cat(parts, -1)


def array_feature_extractor(_node: Node, x: Tensor, index: Tensor) -> Tensor:
    """Columns of the last dimension; a vector becomes one row."""
    x, index = together(x, index)
    chosen = x[..., index.reshape(-1).long()]
    return chosen.reshape(1, -1) if x.dim() == 1 else chosen
