"""One step of an LSTM, a GRU and an RNN."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..node import Node
from .cell_activations import Activation

State = tuple[Tensor, ...]
"""The hidden state (N, H); for an LSTM the cell state as well."""
Step = Callable[[Tensor, State], State]
"""(projected input (N, gates * H), state) -> the next state."""


@dataclass(frozen=True)
class Weights:
    """One direction of a layer, gates in the order of ONNX."""

    w: Tensor
    r: Tensor
    wb: Tensor
    rb: Tensor
    peepholes: Tensor | None = None


Cell = Callable[[Node, Weights, Sequence[Activation]], Step]


def _clipped(node: Node) -> Callable[[Tensor], Tensor]:
    """The clip in front of every activation of a gate."""
    if "clip" not in node.attributes:
        return lambda x: x
    limit = node.number("clip", 0.0)
    return lambda x: torch.clamp(x, -limit, limit)


def lstm_cell(node: Node, weights: Weights, acts: Sequence[Activation]) -> Step:
    """Gates i, o, f, c; `input_forget` makes f the rest of i, peepholes show the cell state to i, f and o."""
    f, g, h = acts
    clip, coupled = _clipped(node), bool(node.integer("input_forget", 0))
    peepholes = weights.peepholes
    pi, po, pf = (None, None, None) if peepholes is None else peepholes.chunk(3)

    def step(projected: Tensor, state: State) -> State:
        hidden, cell = state
        gates = projected + hidden @ weights.r.transpose(0, 1) + weights.rb
        into, out, forget, new = gates.chunk(4, dim=-1)
        if pi is not None and pf is not None:
            into, forget = into + pi * cell, forget + pf * cell
        into = f(clip(into))
        forget = 1 - into if coupled else f(clip(forget))
        cell = forget * cell + into * g(clip(new))
        out = out if po is None else out + po * cell
        return f(clip(out)) * h(cell), cell

    return step


def gru_cell(node: Node, weights: Weights, acts: Sequence[Activation]) -> Step:
    """Gates z, r, h; `linear_before_reset` applies the reset gate after the recurrent weights."""
    f, g = acts
    clip, late = _clipped(node), bool(node.integer("linear_before_reset", 0))
    size = weights.r.shape[-1]

    def step(projected: Tensor, state: State) -> State:
        (hidden,) = state
        early = projected[..., : 2 * size] + hidden @ weights.r[: 2 * size].transpose(0, 1) + weights.rb[: 2 * size]
        update, reset = f(clip(early)).chunk(2, dim=-1)
        recurrent, bias = weights.r[2 * size :].transpose(0, 1), weights.rb[2 * size :]
        past = reset * (hidden @ recurrent + bias) if late else (reset * hidden) @ recurrent + bias
        new = g(clip(projected[..., 2 * size :] + past))
        return ((1 - update) * new + update * hidden,)

    return step


def rnn_cell(node: Node, weights: Weights, acts: Sequence[Activation]) -> Step:
    """One gate."""
    clip = _clipped(node)
    return lambda projected, state: (acts[0](clip(projected + state[0] @ weights.r.transpose(0, 1) + weights.rb)),)
