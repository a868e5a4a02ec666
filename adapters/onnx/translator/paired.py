"""Backward pass differentiable approximation, operator by operator: exact values forward, surrogates backward."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ....harness.straight_through import straight_through
from .node import Node, UntranslatableError
from .operators.obstacle import Obstacle
from .operators.values import Operator
from .pair import Pair, Value, exact

_FIRST_ONLY = {
    "ArgMax", "ArgMin", "ArrayFeatureExtractor", "CenterCropPad", "Col2Im", "Compress", "ConstantOfShape", "CumProd",
    "CumSum", "Expand", "EyeLike", "GatherElements", "GatherND", "Pad", "Range", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "Reshape", "Resize", "ReverseSequence", "Slice", "Split", "Squeeze", "Tile", "TopK", "Trilu",
    "Unsqueeze", "Upsample",
}  # fmt: skip
"""Operators whose inputs after the first are shapes, axes and indices."""
_INDICES = {"Scatter": {1}, "ScatterElements": {1}, "ScatterND": {1}, "TensorScatter": {2}, "Attention": {3, 6}}
"""Operators of which some later inputs are indices or masks."""


def outputs_of(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One output or several, as a tuple."""
    return (result,) if isinstance(result, Tensor) else tuple(result)


def _is_index(node: Node, place: int) -> bool:
    return (node.op in _FIRST_ONLY and place > 0) or place in _INDICES.get(node.op, ())


def _stand_in(node: Node, place: int, value: Value, obstacle: bool) -> Tensor | None:
    """What the backward pass sees of an input."""
    if _is_index(node, place):
        return exact(value)
    if isinstance(value, Pair):
        return value.shadow
    whole = value is not None and not value.is_floating_point() and value.dtype != torch.bool
    return value.to(node.precision) if value is not None and whole and not obstacle else value


def _joined(node: Node, true: Tensor, stand_in: Tensor) -> Tensor | Pair:
    if not stand_in.is_floating_point():
        return true
    if true.shape != stand_in.shape:
        raise UntranslatableError(
            f"the surrogate of {node.key} answers {tuple(stand_in.shape)} for {tuple(true.shape)}"
        )
    if true.is_floating_point():
        return straight_through(true, stand_in.to(true.dtype))
    return Pair(true, straight_through(true.to(node.precision), stand_in.to(node.precision)))


def run_paired(operator: Operator, node: Node, values: Sequence[Value]) -> tuple[Tensor | Pair, ...]:
    """One operator: as it is where nothing stands in the way, else its exact value with its surrogate's gradient."""
    obstacle = isinstance(operator, Obstacle)
    if not obstacle and not any(isinstance(value, Pair) for value in values):
        return outputs_of(operator(node, *values))
    with torch.no_grad():
        true = outputs_of(operator(node, *[exact(value) for value in values]))
    surrogate = operator.surrogate if isinstance(operator, Obstacle) else operator
    if surrogate is None:
        return true
    seen = [_stand_in(node, place, value, obstacle) for place, value in enumerate(values)]
    approximate = outputs_of(surrogate(node, *seen))
    joined = [_joined(node, left, right) for left, right in zip(true, approximate, strict=False)]
    return (*joined, *true[len(joined) :])
