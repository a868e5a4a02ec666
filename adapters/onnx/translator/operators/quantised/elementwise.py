"""QLinearAdd and QLinearMul."""

from torch import Tensor

from ...node import Node
from ..values import together
from .calculation import Calculation, quantising
from .levels import levels


def _multiply_add(x: Tensor, factor: Tensor, rest: Tensor) -> Tensor:
    """x * factor + rest with one rounding, as the fused instruction that onnxruntime uses."""
    return (x.double() * factor.double() + rest.double()).to(factor.dtype)


def _add(
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
    a, b = together(a, b)
    at = levels(node, 7, y_zero, a)
    left, right = a_scale.reshape(()) / y_scale.reshape(()), b_scale.reshape(()) / y_scale.reshape(())
    zeros = [how.offset(node, zero, a) for zero in (a_zero, b_zero, y_zero)]
    fixed = zeros[2] - (left * zeros[0] + right * zeros[1])
    if b.numel() == 1 and a.numel() != 1:
        fixed = fixed + b.to(node.precision).reshape(()) * right
        value = _multiply_add(a.to(node.precision), left, fixed)
        return how.settled(value.reshape([1] * max(b.dim() - a.dim(), 0) + list(a.shape)), at)
    value = _multiply_add(b.to(node.precision), right, fixed)
    return how.settled(_multiply_add(a.to(node.precision), left, value), at)


def _mul(
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
    a, b = together(a, b)
    product = how.centred(node, a, a_zero) * how.centred(node, b, b_zero)
    factor = a_scale.reshape(()) * b_scale.reshape(()) / y_scale.reshape(())
    return how.settled(product * factor + how.offset(node, y_zero, a), levels(node, 7, y_zero, a))


ADD = quantising(_add)
MUL = quantising(_mul)
