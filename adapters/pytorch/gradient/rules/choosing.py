"""Choices by rank: soft weights over the candidates stand in for the index that was chosen."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..call import Call
from ..pairs import otherwise
from ..run import Run
from ..shadows import Choice

_SHARPNESS = 3.0


def place_of_extreme(run: Run, call: Call) -> Any:
    """argmax and argmin."""
    x, dim = call.args[0], call.get(1, "dim", "axis")
    with torch.no_grad():
        index = call.plain()
    soft = run.soft(x)
    if dim is None:
        run.shadows.put_choice(index, _soft(soft.flatten(), -1, call.name == "argmax"))
    else:
        run.shadows.put_choice(index, _soft(soft, dim, call.name == "argmax"))
    return index


def extreme(run: Run, call: Call) -> Any:
    """max and min along a dimension: the values have a gradient, their places get weights."""
    result = otherwise(run, call)
    dim = call.get(1, "dim")
    if isinstance(dim, int) and not isinstance(dim, bool) and isinstance(result, tuple):
        run.shadows.put_choice(result[1], _soft(run.soft(call.args[0]), dim, call.name == "max"))
    return result


def top(run: Run, call: Call) -> Any:
    """topk: each place gets the weights of a soft membership among the k."""
    result = otherwise(run, call)
    x, count, dim = call.args[0], call.get(1, "k"), call.get(2, "dim", default=-1)
    largest = call.get(3, "largest", default=True)

    def membership() -> Choice:
        soft = run.soft(x)
        edge = result[0].detach().to(soft.dtype).amin(dim, keepdim=True)
        if not largest:
            edge = result[0].detach().to(soft.dtype).amax(dim, keepdim=True)
        distance = (soft - edge) if largest else (edge - soft)
        return Choice(torch.sigmoid(_SHARPNESS * distance / _spread(soft, dim)), dim)

    if count == 1:
        run.shadows.put_choice(result[1], _soft(run.soft(x), dim, largest))
    else:
        run.shadows.put_choice(result[1], membership)
    return result


def one_hot(run: Run, call: Call) -> Any:
    """one_hot: the weights of the choice, or a bump around the index."""
    index: Tensor = call.args[0]

    def rows() -> Tensor:
        with torch.no_grad():
            exact: Tensor = call.plain()
        choice = run.shadows.choice(index)
        if choice is not None:
            weights = choice.weights.movedim(choice.dim, -1)
            if weights.shape[-1] == exact.shape[-1]:
                if weights.numel() == exact.numel():
                    return weights.reshape(exact.shape)
                if index.shape[:-1] == weights.shape[:-1]:  # several places of one row share its weights
                    return (weights / index.shape[-1]).unsqueeze(-2).expand(exact.shape)
        places = torch.arange(exact.shape[-1], device=index.device)
        bump: Tensor = 1 / (1 + (run.soft(index).unsqueeze(-1) - places).square())
        return bump

    return run.answer(call, rows)


def scattering(run: Run, call: Call) -> Any:
    """scatter at chosen places: the weights of the choice times the change, besides the gradient of what is written.

    A place that was not chosen would have been given about the smallest of the values.
    """
    target, dim, index, value = call.args[0], call.get(1, "dim"), call.get(2, "index"), call.get(3, "src", "value")
    choice = run.shadows.choice(index) if isinstance(index, Tensor) else None
    if choice is None or value is None or call.kwargs.get("reduce") or choice.weights.shape != target.shape:
        return otherwise(run, call)
    if (choice.dim - dim) % target.dim():
        return otherwise(run, call)

    def written() -> Tensor:
        before: Tensor = run.soft(target)
        source = run.operand(value)
        would = source
        if isinstance(source, Tensor):
            would = source.detach().amin(dim, keepdim=True).expand(before.shape).scatter(dim, index, source.detach())
        change: Tensor = choice.weights * (would - before.detach())
        return change + (before.scatter(dim, index, source) if isinstance(source, Tensor) else before)

    return run.answer(call, written)


def _soft(x: Tensor, dim: int, largest: bool) -> Callable[[], Choice]:
    def weights() -> Choice:
        sharp = _SHARPNESS if largest else -_SHARPNESS
        return Choice(torch.softmax(sharp * x / _spread(x, dim), dim=dim), dim)

    return weights


def _spread(x: Tensor, dim: int) -> Tensor:
    """How far the candidates lie apart, which a softmax has to be told to be neither flat nor hard."""
    return x.detach().std(dim=dim, keepdim=True, unbiased=False).clamp(min=1e-6)
