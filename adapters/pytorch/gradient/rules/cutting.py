"""What takes a gradient off on purpose: detach, data, no_grad, and the way out of torch."""

from typing import Any

import torch
from torch import Tensor

from ..call import Call
from ..run import Run


def detaching(run: Run, call: Call) -> Any:
    """detach and data: the same tensor, seen once more, with its gradient."""
    value = call.args[0]
    if value.requires_grad:
        return value if call.writes else value.view_as(value)
    result = call.plain()
    if result is not value and result not in run.shadows:
        run.shadows.put(result, run.soft(value))
        run.shadows.carry(value, result)
    return result


def switching(_: Run, __: Call) -> None:
    """no_grad and its like inside the module: gradients stay enabled."""


def requiring(_: Run, call: Call) -> Any:
    """requires_grad_(False) is one more way to cut."""
    return call.plain() if call.get(1, "requires_grad", default=True) else call.args[0]


def leaving(run: Run, call: Call) -> Any:
    """numpy, item and their like: numbers have no gradient; arrays may come back, see `abroad`."""
    if call.name in ("numpy", "__array__", "tolist", "__dlpack__"):
        run.abroad.left(run.soft(call.args[0]))
    elif call.name not in ("__bool__", "__repr__", "__format__"):
        run.missing[call.name.strip("_")] = None
    with torch.no_grad():
        return call.exchanged(Tensor.detach).plain()
