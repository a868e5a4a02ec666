"""Rounding, whole division, remainders and signs."""

from typing import Any

from torch import Tensor

from ....soft import soft_sign, soft_step
from ..call import Call
from ..pairs import otherwise
from ..run import Run


def rounding(run: Run, call: Call) -> Any:
    """round, floor, ceil, trunc: the identity stands in."""
    return run.answer(call, lambda: run.soft(call.args[0]) * 1)


def dividing(run: Run, call: Call) -> Any:
    """Division with rounding, in all its spellings: true division stands in."""
    if call.name in ("div", "div_", "divide", "divide_") and call.kwargs.get("rounding_mode") is None:
        return otherwise(run, call)
    first, second = call.args[0], call.get(1, "other")
    if call.name == "__rfloordiv__":
        first, second = second, first
    return run.answer(call, lambda: run.operand(first) / run.operand(second))


def wrapping(run: Run, call: Call) -> Any:
    """remainder, fmod, frac: half the slope.

    Alone they have slope 1, as part of `x - x % s`, which rounds, the slope that gets around it is 0. Half of it has
    the right sign in both.
    """
    backwards = call.name == "__rmod__"
    value = call.get(1, "other") if backwards else call.args[0]
    return run.answer(call, lambda: 0.5 * run.soft(value)) if run.depends(value) else otherwise(run, call)


def sign(run: Run, call: Call) -> Any:
    """sign: a soft sign."""
    return run.answer(call, lambda: soft_sign(run.soft(call.args[0])))


def bucketizing(run: Run, call: Call) -> Any:
    """bucketize and searchsorted count the bounds below a value: soft steps stand in, one for each bound."""
    first, second = call.args[0], call.get(1, "input", "boundaries")
    bounds, value = (first, second) if call.name == "searchsorted" else (second, first)

    def count() -> Tensor:
        if bounds.dim() != 1:
            raise ValueError("one row of bounds for each value")
        return soft_step(run.soft(value).unsqueeze(-1) - run.soft(bounds)).sum(dim=-1)

    return run.answer(call, count)


def heaviside(run: Run, call: Call) -> Any:
    """heaviside: a soft step."""
    return run.answer(call, lambda: soft_step(run.soft(call.args[0])))
