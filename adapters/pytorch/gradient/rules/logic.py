"""and, or, xor, not and shifts, on truth values and on the bits of whole numbers."""

from typing import Any

import torch
from torch import Tensor

from ..call import Call
from ..run import Run

AND = {"__and__", "__rand__", "__iand__", "bitwise_and", "logical_and"}
OR = {"__or__", "__ror__", "__ior__", "bitwise_or", "logical_or"}
XOR = {"__xor__", "__rxor__", "__ixor__", "bitwise_xor", "logical_xor"}
NOT = {"__invert__", "bitwise_not", "logical_not"}
RIGHT = {"__rshift__", "__irshift__", "bitwise_right_shift"}
LEFT = {"__lshift__", "__ilshift__", "bitwise_left_shift"}

_LEAST = 0.25
"""Slope of an answer in one operand when the other decides it alone; a zero would hide that both could change."""


def joining(run: Run, call: Call) -> Any:
    """Operators with two operands."""
    a, b = call.args[0], call.get(1, "other")
    name = call.name if call.name.startswith("__") else call.name.removesuffix("_")

    def answer() -> Tensor:
        if name in RIGHT or name in LEFT:
            return _shifted(run, a, b, -1 if name in RIGHT else 1)
        if not (_is_truth(a) and _is_truth(b)) and not name.startswith("logical"):
            # Masks that clear or set low bits quantise, whose stand-in is the identity.
            return run.soft(a if run.depends(a) else b) * 1
        first, second = run.operand(a), run.operand(b)
        joined: Tensor = first * _slope(name, second) + second * _slope(name, first)
        return joined

    return run.answer(call, answer)


def negating(run: Run, call: Call) -> Any:
    """not."""
    return run.answer(call, lambda: 1 - run.soft(call.args[0]))


def _slope(name: str, other: Any) -> Any:
    other = other.detach() if isinstance(other, Tensor) else float(other)
    if name in AND:
        return _LEAST + (1 - _LEAST) * other
    return 1 - (1 - _LEAST) * other if name in OR else 1 - 2 * other


def _shifted(run: Run, value: Any, by: Any, sign: int) -> Tensor:
    factor = torch.exp2(sign * by.float()) if isinstance(by, Tensor) else 2.0 ** (sign * by)
    shifted: Tensor = run.operand(value) * factor
    return shifted


def _is_truth(value: object) -> bool:
    return value.dtype == torch.bool if isinstance(value, Tensor) else isinstance(value, bool)
