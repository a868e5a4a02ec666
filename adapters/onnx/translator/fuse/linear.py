"""MatMul with a stored matrix and Add of a stored row, as one affine map."""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional

from ..node import Node
from .view import View


def linear(_node: Node, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W' + b over the last dimension of (..., D)."""
    return functional.linear(x, weight, bias)


def fuse_linear(view: View) -> None:
    """Every Add of a row to the product with a constant matrix that nobody else reads."""
    for place in view.places("MatMul"):
        product = view.node(place)
        weight = view.constants.get(product.inputs[1])
        after = view.reader(product.outputs[0], "Add")
        if weight is None or weight.dim() != 2 or not weight.is_floating_point() or after is None:
            continue
        inputs = view.node(after).inputs
        row = inputs[1] if inputs[0] == product.outputs[0] else inputs[0]
        bias = view.constants.get(row)
        if bias is None or bias.shape != weight.shape[1:] or bias.dtype != weight.dtype:
            continue
        name = f"{view.node(after).outputs[0]}//weight"
        view.constants[name] = weight.t().contiguous()
        merged = replace(product, domain="robcheck", op="Linear", inputs=(product.inputs[0], name, row))
        view.merge([place, after], replace(merged, outputs=view.node(after).outputs), linear)
