"""The whole numbers of a type, and scales and zero points in a shape that fits the data."""

from dataclasses import dataclass

import torch
from onnx import TensorProto
from torch import Tensor

from ...node import Node, UntranslatableError
from ...types import NARROW, carrier, is_integer, type_name


@dataclass(frozen=True)
class Levels:
    """Least and greatest number, and the torch type that holds them."""

    low: int
    high: int
    dtype: torch.dtype


def of_dtype(dtype: torch.dtype) -> Levels:
    """All numbers of a type; of a float, which stands for 8 bits of unknown sign, those of both signs."""
    if dtype.is_floating_point:
        return Levels(-128, 255, torch.int16)
    limits = torch.iinfo(dtype)
    return Levels(int(limits.min), int(limits.max), dtype)


def of_code(node: Node, code: int) -> Levels:
    """All numbers of an ONNX type.

    Raises: UntranslatableError.
    """
    dtype = carrier(code, node.precision)
    if dtype is None or not (code in NARROW or is_integer(code)) or code == TensorProto.BOOL:
        raise UntranslatableError(f"{node.key} to {type_name(code)}")
    return Levels(*NARROW[code], dtype) if code in NARROW else of_dtype(dtype)


def levels(node: Node, position: int, zero: Tensor | None, like: Tensor | None = None) -> Levels:
    """The numbers of an output whose type is that of the zero point at an input position, or of another input."""
    if position in node.narrow:
        return of_code(node, node.narrow[position])
    source = like if zero is None else zero
    return of_dtype(torch.uint8 if source is None else source.dtype)


def spread(node: Node, value: Tensor, x: Tensor) -> Tensor:
    """A scale or zero point per tensor, per index along the attribute `axis` or per block, broadcasting against x.

    Raises: UntranslatableError.
    """
    if value.dim() == 0 or (value.dim() == 1 and value.numel() == 1):
        return value.reshape(())
    axis = node.integer("axis", 1)
    if not -x.dim() <= axis < x.dim():
        raise UntranslatableError(f"{node.key} along axis {axis} of {x.dim()} dimensions")
    axis %= x.dim()
    if value.dim() == 1 and value.shape[0] == x.shape[axis]:
        return value.reshape(-1, *([1] * (x.dim() - 1 - axis)))
    block = node.integer("block_size", 0)
    wanted = list(x.shape)
    if block > 0:
        wanted[axis] = -(-wanted[axis] // block)
    if block <= 0 or list(value.shape) != wanted:
        raise UntranslatableError(f"{node.key} of {tuple(x.shape)} with a scale of {tuple(value.shape)}")
    return value.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])


def along(value: Tensor, dim: int, axis: int) -> Tensor:
    """One number, or one per index along an axis, broadcasting against `dim` dimensions."""
    if value.numel() == 1:
        return value.reshape(())
    return value.reshape(-1, *([1] * (dim - 1 - axis % dim))) if value.dim() == 1 else value
