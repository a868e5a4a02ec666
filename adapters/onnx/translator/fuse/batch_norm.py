"""BatchNormalization folded into the convolution in front of it."""

from dataclasses import replace

import torch
from torch import Tensor

from ..node import Node
from .view import View


def _foldable(norm: Node, convolution: Node, constants: dict[str, Tensor]) -> bool:
    weights = [*norm.inputs[1:], *(name for name in convolution.inputs[1:] if name)]
    plain = not norm.integer("training_mode", 0) and norm.integer("spatial", 1) == 1 and len(norm.outputs) == 1
    return plain and len(norm.inputs) == 5 and all(name in constants for name in weights)


def _fused(norm: Node, convolution: Node, constants: dict[str, Tensor]) -> Node:
    """The convolution with scaled weights, writing what the normalisation wrote."""
    scale, shift, mean, variance = (constants[name].double() for name in norm.inputs[1:])
    weight = constants[convolution.inputs[1]]
    factor = scale / torch.sqrt(variance + norm.number("epsilon", 1e-5))
    bias_name = convolution.inputs[2] if len(convolution.inputs) > 2 else ""
    bias = constants[bias_name].double() if bias_name else torch.zeros_like(mean)
    weight_name, new_bias = f"{norm.outputs[0]}//weight", f"{norm.outputs[0]}//bias"
    scaled = weight.double() * factor.reshape(-1, *([1] * (weight.dim() - 1)))
    constants[weight_name] = scaled.to(weight.dtype)
    constants[new_bias] = (shift + (bias - mean) * factor).to(weight.dtype)
    return replace(convolution, inputs=(convolution.inputs[0], weight_name, new_bias), outputs=norm.outputs)


def fuse_batch_norm(view: View) -> None:
    """Drop every BatchNormalization whose only source is a Conv that nobody else reads."""
    for place in view.places("BatchNormalization"):
        norm = view.node(place)
        source = view.source(norm.inputs[0], "Conv")
        entry = None if source is None else view.entries[source]
        if source is not None and entry is not None and _foldable(norm, entry[0], view.constants):
            view.merge([source, place], _fused(norm, entry[0], view.constants), entry[1])
