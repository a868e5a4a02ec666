"""QLinearMatMul, QGemm and MatMulIntegerToFloat: products of whole numbers, scaled and rounded again."""

from torch import Tensor

from ...node import Node
from ..values import present
from .calculation import Calculation, quantising
from .integer_products import columns, rows
from .levels import along, levels


def _qlinear_matmul(
    how: Calculation,
    node: Node,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor | None,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor | None,
    y_scale: Tensor,
    y_zero: Tensor | None = None,
) -> Tensor:
    total = how.total(node, how.matmul(node, a, rows(a_zero, a), b, columns(b_zero, b)), None)
    factor = along(a_scale, max(a.dim(), 2), -2) * along(b_scale, max(b.dim(), 2), -1) / along(y_scale, total.dim(), -2)
    return how.settled(total * factor, levels(node, 7, y_zero, a), how.offset(node, y_zero, total))


def _qgemm(
    how: Calculation,
    node: Node,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor | None,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor | None,
    bias: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero: Tensor | None = None,
) -> Tensor:
    """alpha a b + bias; floats unless an output scale is given."""
    a = a.transpose(0, 1) if node.integer("transA", 0) else a
    b = b.transpose(0, 1) if node.integer("transB", 0) else b
    total = how.total(node, how.matmul(node, a, rows(a_zero, a), b, columns(b_zero, b)), bias)
    factor = node.number("alpha", 1.0) * along(a_scale, 2, 0) * along(b_scale, 2, 1)
    if y_scale is None or not present(y_scale):
        return total * factor
    return how.settled(total * (factor / along(y_scale, 2, 1)), levels(node, 8, y_zero, a), how.offset(node, y_zero, a))


def _to_float(
    how: Calculation,
    node: Node,
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero: Tensor | None = None,
    b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    total = how.total(node, how.matmul(node, a, rows(a_zero, a), b, columns(b_zero, b)), None)
    factor = along(a_scale.detach(), max(a.dim(), 2), -2) * along(b_scale.detach(), max(b.dim(), 2), -1)
    y = total * factor.to(total.device)
    return y if bias is None or not present(bias) else y + bias


QLINEAR_MATMUL = quantising(_qlinear_matmul)
QGEMM = quantising(_qgemm)
MATMUL_INTEGER_TO_FLOAT = quantising(_to_float)
to_float = _to_float
