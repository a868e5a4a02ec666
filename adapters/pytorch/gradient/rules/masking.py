"""Values picked and overwritten where a condition holds: the condition's stand-in weighs the difference."""

from typing import Any

import torch
from torch import Tensor

from ..call import Call
from ..pairs import otherwise
from ..run import Run


def where(run: Run, call: Call) -> Any:
    """where(condition, a, b): gradient of the condition times (a - b), besides those of a and b."""
    condition, a, b = call.get(0, "condition"), call.get(1, "input", "self"), call.get(2, "other")
    if call.function == Tensor.where:
        condition, a = call.get(1, "condition"), call.args[0]
    if condition not in run.shadows or a is None:
        return otherwise(run, call)
    return run.answer(call, lambda: _mixed(run, condition, a, b))


def filling(run: Run, call: Call) -> Any:
    """masked_fill."""
    target, mask, value = call.args[0], call.get(1, "mask"), call.get(2, "value")
    if mask not in run.shadows:
        return otherwise(run, call)
    return run.answer(call, lambda: _mixed(run, mask, value, target))


def writing(run: Run, call: Call) -> Any:
    """x[mask] = value with one value; other writes have the gradient of what they write."""
    target, index, value = call.args
    one = isinstance(value, int | float) or (isinstance(value, Tensor) and value.dim() == 0)
    if isinstance(index, Tensor) and index.dtype == torch.bool and index in run.shadows and one:
        mask = index[(...,) + (None,) * (target.dim() - index.dim())]
        shadow = run.soft(index)[(...,) + (None,) * (target.dim() - index.dim())]
        run.answer(call, lambda: _blend(mask, shadow, run.operand(value), run.soft(target)))
        return None
    if (isinstance(value, Tensor) and value in run.shadows) or target in run.shadows:
        soft = Call(call.name, call.function, (target, index, run.operand(value)), {})
        run.answer(call, lambda: soft.onto(run.soft(target).clone()))
        return None
    return call.plain()


def _mixed(run: Run, condition: Tensor, a: Any, b: Any) -> Tensor:
    return _blend(condition, run.soft(condition), run.operand(a), run.operand(b))


def _blend(condition: Tensor, shadow: Tensor, a: Any, b: Any) -> Tensor:
    a, b = (value if isinstance(value, Tensor) else shadow.new_tensor(float(value)) for value in (a, b))
    # Attention is masked with -inf, a difference that no gradient survives.
    difference = torch.nan_to_num(a.detach() - b.detach(), 0.0, 0.0, 0.0)
    return torch.where(condition, a, b) + shadow * difference
