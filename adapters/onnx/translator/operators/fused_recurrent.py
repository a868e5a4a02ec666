"""Torch's own kernels for recurrent layers, where a layer asks for nothing that they lack."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..node import Node
from .cell_activations import activation_names
from .cells import State, Weights

Kernel = Callable[[Node, Tensor, list[Weights], State], tuple[Tensor, State] | None]
"""(node, x (T, N, I), one entry per direction, initial states (D, N, H)) -> (T, N, D, H) and final states, or None."""


def _reordered(value: Tensor, order: Sequence[int]) -> Tensor:
    parts = value.chunk(len(order))
    return torch.cat([parts[place] for place in order])


def _run(
    function: Callable[..., Any], node: Node, x: Tensor, layer: list[Weights], hidden: Any, order: Sequence[int]
) -> tuple[Tensor, ...]:
    """A torch layer; one that only runs backwards is a forward one over the reversed sequence."""
    flip = node.text("direction", "forward").lower() == "reverse"
    flat = [_reordered(value, order) for weights in layer for value in (weights.w, weights.r, weights.wb, weights.rb)]
    x = x.flip(0) if flip else x
    with torch.backends.cudnn.flags(enabled=False):
        y, *last = function(x, hidden, flat, True, 1, 0.0, False, len(layer) == 2, False)
    y = y.flip(0) if flip else y
    return (y.reshape(*x.shape[:2], len(layer), -1), *last)


def _wrapped(values: Sequence[Tensor]) -> bool:
    """Whether a function transform such as vmap sees one of them; the kernels know none."""
    return any(torch._C._functorch.is_functorch_wrapped_tensor(value) for value in values)


def _seen(x: Tensor, layer: list[Weights], initial: State) -> bool:
    return _wrapped([x, *initial, *(value for one in layer for value in (one.w, one.r, one.wb, one.rb))])


def fused_lstm(node: Node, x: Tensor, layer: list[Weights], initial: State) -> tuple[Tensor, State] | None:
    """None for coupled gates."""
    if node.integer("input_forget", 0) or _seen(x, layer, initial):
        return None
    y, hidden, cell = _run(torch.lstm, node, x, layer, initial, (0, 2, 3, 1))
    return y, (hidden, cell)


def fused_gru(node: Node, x: Tensor, layer: list[Weights], initial: State) -> tuple[Tensor, State] | None:
    """None for a reset gate in front of the recurrent weights."""
    if not node.integer("linear_before_reset", 0) or _seen(x, layer, initial):
        return None
    y, hidden = _run(torch.gru, node, x, layer, initial[0], (1, 0, 2))
    return y, (hidden,)


def fused_rnn(node: Node, x: Tensor, layer: list[Weights], initial: State) -> tuple[Tensor, State] | None:
    """None for activations other than Tanh and Relu."""
    name = activation_names(node, ("Tanh",))[0].lower()
    function = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}.get(name)
    if function is None or _seen(x, layer, initial):
        return None
    y, hidden = _run(function, node, x, layer, initial[0], (0,))
    return y, (hidden,)
