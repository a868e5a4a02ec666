"""Changes of the number type, and copies of a tensor into a new one."""

from typing import Any

import torch
from torch import Tensor

from ..call import Call, tensors_in
from ..run import Run

CASTS = {"to", "type", "type_as", "int", "long", "short", "byte", "char", "bool", "float", "double", "half", "bfloat16"}


def casting(run: Run, call: Call) -> Any:
    """To whole numbers and back: the identity stands in."""
    source = call.args[0]
    result = call.plain()
    if not isinstance(result, Tensor) or result is source:
        return result
    if source.is_floating_point() and result.is_floating_point():
        return result

    def value() -> Tensor:
        soft: Tensor = run.soft(source)
        if result.dtype == torch.bool and source.dtype != torch.bool:
            return soft.abs().clamp(max=1)
        return soft.to(result.dtype if result.is_floating_point() else soft.dtype) * 1

    linked = run.linked_to(call.name, result, value)
    run.shadows.carry(source, linked)
    return linked


def building(run: Run, call: Call) -> Any:
    """torch.tensor and as_tensor, which take the values of a tensor and leave its gradient."""
    source = call.args[1] if call.name == "new_tensor" else call.args[0]
    if not isinstance(source, Tensor):
        if any(run.depends(value) for value in tensors_in(source)):
            run.missing[call.name] = None
        return call.plain()
    result = call.plain()
    if result is source or result.requires_grad:
        return result
    return run.linked_to(call.name, result, lambda: run.soft(source) * 1)
