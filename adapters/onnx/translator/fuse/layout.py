"""Channels last, which convolutions on a CPU are faster in: one weight in that order draws the data after it."""

import torch

from .view import View


def channels_last(view: View) -> None:
    """Store the weights of all two-dimensional convolutions with the channels innermost."""
    for place in view.places("Conv"):
        name = view.node(place).inputs[1]
        weight = view.constants.get(name)
        if weight is not None and weight.dim() == 4:
            view.constants[name] = weight.contiguous(memory_format=torch.channels_last)
