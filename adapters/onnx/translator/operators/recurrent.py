"""LSTM, GRU and RNN in either direction or both."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..node import Node, UntranslatableError
from .cell_activations import activation_names, activations
from .cells import (
    Cell,
    State,
    Step,
    Weights,
    gru_cell,
    lstm_cell,
    rnn_cell,
)
from .fused_recurrent import Kernel, fused_gru, fused_lstm, fused_rnn
from .values import Operator, present, together


@dataclass(frozen=True)
class Kind:
    """What tells the three layers apart."""

    gates: int
    states: int
    functions: tuple[str, ...]
    cell: Cell
    kernel: Kernel


def backwards(node: Node) -> list[bool]:
    """Whether each direction runs backwards.

    Raises: UntranslatableError.
    """
    known = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    direction = node.text("direction", "forward").lower()
    if direction not in known:
        raise UntranslatableError(f"{node.key} has the unknown direction {direction!r}")
    return known[direction]


def _names(node: Node, kind: Kind, directions: int) -> list[str]:
    """Activations of all directions.

    Raises: UntranslatableError.
    """
    names = activation_names(node, kind.functions * directions)
    if len(names) != len(kind.functions) * directions:
        raise UntranslatableError(f"{node.key} has {len(names)} activations for {directions} directions")
    return names


def _unrolled(step: Step, projected: Tensor, state: State, back: bool, lengths: Tensor | None) -> tuple[Tensor, State]:
    """Every step's hidden state (T, N, H), zero past a sample's end, and the last state of each sample."""
    order = range(projected.shape[0])
    made: list[Tensor] = []
    for place in reversed(order) if back else order:
        following = step(projected[place], state)
        shown = following[0]
        if lengths is not None:
            inside = (place < lengths).unsqueeze(-1)
            following = tuple(torch.where(inside, new, old) for new, old in zip(following, state, strict=True))
            shown = torch.where(inside, shown, torch.zeros_like(shown))
        state = following
        made.append(shown)
    if lengths is not None:
        # a sample without a step ends with zeros, whatever it started with
        state = tuple(torch.where((lengths > 0).unsqueeze(-1), value, torch.zeros_like(value)) for value in state)
    return torch.stack(made[::-1] if back else made), state


def _weights(kind: Kind, inputs: Sequence[Tensor | None], size: int) -> list[Weights]:
    w, r, b, p = inputs
    if w is None or r is None:
        raise UntranslatableError("a recurrent layer without weights")
    wide = kind.gates * size
    bias = w.new_zeros(w.shape[0], 2 * wide) if b is None else b
    return [Weights(w[d], r[d], bias[d, :wide], bias[d, wide:], None if p is None else p[d]) for d in range(w.shape[0])]


def _layer(
    node: Node, kind: Kind, x: Tensor, layer: list[Weights], initial: State, lengths: Tensor | None
) -> tuple[Tensor, State]:
    """(T, N, D, H) and final states (D, N, H), step by step."""
    back = backwards(node)
    names = _names(node, kind, len(back))
    acts = activations(node, names)
    count = len(kind.functions)
    outputs, last = [], []
    for d, weights in enumerate(layer):
        step = kind.cell(node, weights, acts[d * count : (d + 1) * count])
        projected = x @ weights.w.transpose(0, 1) + weights.wb
        shown, state = _unrolled(step, projected, tuple(value[d] for value in initial), back[d], lengths)
        outputs.append(shown)
        last.append(state)
    return torch.stack(outputs, dim=2), tuple(torch.stack(values) for values in zip(*last, strict=True))


def _row(kind: Kind) -> Operator:
    """The operator: X, W, R, B, sequence_lens, initial_h, initial_c, P -> Y, Y_h, Y_c."""

    def forward(node: Node, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        padded = [value if value is not None and present(value) else None for value in inputs]
        padded += [None] * (8 - len(padded))
        given = [place for place, value in enumerate(padded) if value is not None]
        for place, value in zip(given, together(*[v for v in padded if v is not None]), strict=True):
            padded[place] = value
        x, w, r, b, lengths, *starts, p = padded
        if x is None or not x.numel() or r is None or len(backwards(node)) != r.shape[0]:
            raise UntranslatableError(f"{node.key} over nothing, or with weights for other directions")
        batchwise = node.integer("layout", 0) == 1
        x = x.transpose(0, 1) if batchwise else x
        size = r.shape[-1]
        zeros = x.new_zeros(r.shape[0], x.shape[1], size)
        turned = [value.transpose(0, 1) if value is not None and batchwise else value for value in starts]
        initial = tuple(zeros if value is None else value for value in turned[: kind.states])
        layer = _weights(kind, (w, r, b, p), size)
        plain = lengths is None and p is None and _plain(node, kind, len(layer))
        made = kind.kernel(node, x, layer, initial) if plain else None
        y, last = _layer(node, kind, x, layer, initial, lengths) if made is None else made
        if batchwise:
            return (y.permute(1, 0, 2, 3), *(value.transpose(0, 1) for value in last))
        return (y.transpose(1, 2), *last)

    return forward


def _plain(node: Node, kind: Kind, directions: int) -> bool:
    """Whether nothing asks for more than torch's own kernels do."""
    usual = [name.lower() for name in _names(node, kind, directions)]
    known = kind.functions if kind.gates > 1 else usual[:1]
    return "clip" not in node.attributes and usual == [name.lower() for name in known] * directions


LSTM = _row(Kind(4, 2, ("Sigmoid", "Tanh", "Tanh"), lstm_cell, fused_lstm))
GRU = _row(Kind(3, 1, ("Sigmoid", "Tanh"), gru_cell, fused_gru))
RNN = _row(Kind(1, 1, ("Tanh",), rnn_cell, fused_rnn))
