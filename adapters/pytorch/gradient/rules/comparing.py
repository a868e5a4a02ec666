"""Comparisons: a soft step or bump stands in for the answer."""

from typing import Any

import torch
from torch import Tensor

from ....soft import soft_step
from ..call import Call
from ..run import Run

GREATER = {"gt", "ge", "greater", "greater_equal", "__gt__", "__ge__"}
LESS = {"lt", "le", "less", "less_equal", "__lt__", "__le__"}
EQUAL = {"eq", "__eq__"}
UNEQUAL = {"ne", "not_equal", "__ne__"}


def comparing(run: Run, call: Call) -> Any:
    """a > b and its like."""
    a, b = call.args[0], call.get(1, "other")
    if not isinstance(b, Tensor | int | float):
        return call.plain()
    name = call.name if call.name.startswith("__") else call.name.removesuffix("_")

    def answer() -> Tensor:
        difference: Tensor = run.operand(a) - run.operand(b)
        if name in GREATER:
            return soft_step(difference)
        if name in LESS:
            return soft_step(-difference)
        whole = not any(isinstance(value, Tensor) and value.is_floating_point() for value in (a, b))
        bump = 1 / (1 + (difference * (1 if whole else 10)).square())
        return bump if name in EQUAL else 1 - bump

    return run.answer(call, answer)


def sign_bit(run: Run, call: Call) -> Any:
    """signbit: x < 0."""
    return run.answer(call, lambda: soft_step(-run.soft(call.args[0])))


def truth(run: Run, call: Call) -> Any:
    """any and all of truth values: their mean, so that each of them gets a share of the gradient."""
    if call.args[0] not in run.shadows:
        return call.plain()
    return run.answer(call, lambda: torch.mean(run.soft(call.args[0]), *call.args[1:], **call.kwargs))
