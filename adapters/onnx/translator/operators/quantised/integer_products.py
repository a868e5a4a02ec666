"""MatMulInteger and ConvInteger: products of whole numbers, left in int32."""

from torch import Tensor

from ...node import Node
from ..values import present
from .calculation import Calculation, quantising
from .levels import along


def rows(zero: Tensor | None, a: Tensor) -> Tensor | None:
    """Zero points of the left factor: one, or one per row."""
    return None if zero is None or not present(zero) else along(zero, max(a.dim(), 2), -2)


def columns(zero: Tensor | None, b: Tensor) -> Tensor | None:
    """Zero points of the right factor: one, or one per column."""
    return None if zero is None or not present(zero) else along(zero, max(b.dim(), 2), -1)


def channels(zero: Tensor | None, x: Tensor, axis: int) -> Tensor | None:
    """Zero points of a factor of a convolution: one, or one per index along an axis."""
    return None if zero is None or not present(zero) else along(zero, x.dim(), axis)


def _matmul_integer(
    how: Calculation, node: Node, a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    return how.int32(how.matmul(node, a, rows(a_zero, a), b, columns(b_zero, b)))


def _conv_integer(
    how: Calculation, node: Node, x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None
) -> Tensor:
    return how.int32(how.conv(node, x, channels(x_zero, x, 1), w, channels(w_zero, w, 0)))


MATMUL_INTEGER = quantising(_matmul_integer)
CONV_INTEGER = quantising(_conv_integer)
