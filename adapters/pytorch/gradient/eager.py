"""Modules under torch.compile, whose operations can be seen and exchanged only while they run uncompiled."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn


def is_compiled(module: nn.Module) -> bool:
    """Whether a part of it was given to torch.compile."""
    # Asking for the class itself would import the compiler, which takes seconds.
    return any(type(part).__name__ == "OptimizedModule" or part._compiled_call_impl for part in module.modules())


def eagerly(module: nn.Module) -> AbstractContextManager[Any]:
    """Inside of the block compiled parts run uncompiled."""
    return torch.compiler.set_stance("force_eager") if is_compiled(module) else nullcontext()
