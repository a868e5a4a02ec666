"""Rows of a table at whole numbers that depend on the input."""

from typing import Any

import torch
from torch import Tensor

from ..call import Call
from ..run import Run


def reading(run: Run, call: Call) -> Any:
    """x[index]: the gradient of the values, and for one index into rows the slope of the table.

    It is taken over some rows, because tables have steps too.
    """
    table, index = call.args
    if isinstance(index, Tensor) and index in run.shadows and index.dtype != torch.bool and table.dim():
        return _rows(run, call, table, index)
    if table in run.shadows:
        return run.answer(call, lambda: run.soft(table)[index])
    return call.plain()


def embedding(run: Run, call: Call) -> Any:
    """functional.embedding."""
    index, table = call.args[0], call.get(1, "weight")
    return _rows(run, call, table, index) if index in run.shadows else call.plain()


def gathering(run: Run, call: Call) -> Any:
    """gather, take_along_dim, index_select: gradient of the values only; the places are given."""
    source = call.args[0]
    if source not in run.shadows:
        return call.plain()
    return run.answer(call, lambda: call.function(run.soft(source), *call.args[1:], **call.kwargs))


def _rows(run: Run, call: Call, table: Tensor, index: Tensor) -> Any:
    def rows() -> Tensor:
        soft = run.soft(table)
        choice = run.shadows.choice(index)
        if choice is not None and choice.weights.shape[choice.dim] == len(table):
            weights = choice.weights.movedim(choice.dim, -1)
            if weights.shape[:-1].numel() == index.numel():
                mixed = weights @ soft.flatten(1) if soft.dim() > 1 else weights @ soft
                return mixed.reshape((*index.shape, *soft.shape[1:]))
        place = index % len(table)
        reach = max(1, len(table) // 8)
        above, below = (place + reach).clamp(max=len(table) - 1), (place - reach).clamp(min=0)
        gap = (above - below).clamp(min=1)[(...,) + (None,) * (soft.dim() - 1)]
        slope = (soft[above] - soft[below]).detach() / gap
        return soft[place] + run.soft(index)[(...,) + (None,) * (soft.dim() - 1)] * slope

    return run.answer(call, rows)
