"""A module's forward in float64, whatever number type its code names."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class InDouble(TorchFunctionMode):
    """Inside the block float64 takes the place of float32: in constants, in casts, and in weights that no copy reaches.

    What is written in place into a float32 tensor from outside is lost.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One call of the module."""
        function = Tensor.double if func is Tensor.float else func
        return _wide(function(*_wide(args), **{name: _wide(value) for name, value in (kwargs or {}).items()}))


def _wide(value: Any) -> Any:
    """The value with float64 for every float32 in it."""
    if isinstance(value, Tensor):
        return value.double() if value.dtype == torch.float32 else value
    if isinstance(value, torch.dtype):
        return torch.float64 if value == torch.float32 else value
    if type(value) in (list, tuple):
        return type(value)(_wide(item) for item in value)
    return value
