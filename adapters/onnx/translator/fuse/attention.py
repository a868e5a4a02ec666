"""softmax(q k') v, as exporters before opset 23 write scaled dot product attention."""

from dataclasses import replace

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor  # no public name tells that vmap is at work
from torch.nn import functional

from ..node import Node
from .view import View


def attention(node: Node, q: Tensor, k_transposed: Tensor, v: Tensor) -> Tensor:
    """(..., L, E), (..., E, S), (..., S, V) -> (..., L, V); the scale is already in q or k."""
    axis = node.integer("axis", -1)
    last = axis in (-1, q.dim() - 1)
    # torch's fused kernel has no rule for vmap
    if not last or not q.dim() == k_transposed.dim() == v.dim() == 4 or is_batchedtensor(q):
        return torch.softmax(q @ k_transposed, dim=axis) @ v
    return functional.scaled_dot_product_attention(q, k_transposed.transpose(-1, -2), v, scale=1.0)


def fuse_attention(view: View) -> None:
    """Every Softmax between two products that nobody else reads."""
    for place in view.places("Softmax"):
        softmax = view.node(place)
        scores = view.source(softmax.inputs[0], "MatMul")
        values = view.reader(softmax.outputs[0], "MatMul")
        if softmax.opset < 13 or scores is None or values is None:
            continue
        node = view.node(values)
        if node.inputs[0] == softmax.outputs[0]:
            inputs = (*view.node(scores).inputs, node.inputs[1])
            merged = replace(node, domain="robcheck", op="Attention", inputs=inputs, attributes=softmax.attributes)
            view.merge([scores, place, values], merged, attention)
