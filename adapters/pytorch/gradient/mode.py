"""A module's own forward, with stand-ins for what stops a gradient."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .call import Call, called
from .pairs import otherwise
from .rules import ALWAYS, RULES
from .run import Run


class Surrogates(TorchFunctionMode):
    """Inside the block every function of torch answers with its own bits, and where it stops a gradient, with a
    stand-in's gradient. One block, one forward.

    Args:
        kept: weights and buffers of the module, which are never given a gradient.
    """

    def __init__(self, kept: Callable[[], Iterable[Tensor]] = tuple) -> None:
        super().__init__()
        self.run = Run(kept)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One call of the module."""
        call = called(func, args, kwargs or {})
        if self.run.abroad:
            self.run.welcome(call)
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.enable_grad():
                answer = self._answer(call)
        else:
            answer = self._answer(call)
        if self.run.abroad:
            self.run.abroad.met(call, answer)
        return answer

    def _answer(self, call: Call) -> Any:
        if call.name in ALWAYS:
            return ALWAYS[call.name](self.run, call)
        if torch._C._functorch.peek_interpreter_stack() is not None:
            self.run.missing["torch.func, torch.vmap"] = None
            return call.plain()
        # Gradients are off only inside of an autograd.Function, which has a backward of its own.
        if not torch.is_grad_enabled() or not any(self.run.depends(value) for value in call.tensors()):
            return call.plain()
        if call.target is not None and self.run.keeps(call.target):
            with torch.no_grad():
                return call.plain()
        rule = RULES.get(call.name)
        if rule is not None:
            return rule(self.run, call)
        return otherwise(self.run, call)
