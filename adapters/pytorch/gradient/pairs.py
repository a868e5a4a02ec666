"""Any function of torch on whole numbers that have stand-ins: once on the numbers, once on the stand-ins."""

from typing import Any

import torch
from torch import Tensor

from .call import Call
from .run import Run

_RESHAPES = {"clone", "contiguous", "cpu", "cuda", "flatten", "reshape", "squeeze", "unsqueeze", "view"}
_PURE_DRAWS = {"rand_like", "randn_like", "randint_like"}


_HARMLESS = {"isnan", "isinf", "isfinite", "isneginf", "isposinf", "isreal"}


def otherwise(run: Run, call: Call) -> Any:
    """The answer of a function that stops no gradient by itself."""
    if run.shadows and any(value in run.shadows for value in call.tensors()):
        return on_pairs(run, call)
    result = call.plain()
    if isinstance(result, Tensor) and not (result.is_floating_point() or result.is_complex() or _needs_none(call.name)):
        run.missing[call.name] = None
    return result


def _needs_none(name: str) -> bool:
    """Whether what a function answers in whole numbers has no gradient in the first place."""
    return name in _HARMLESS or name.endswith("_like") or name.startswith(("new_", "get "))


def on_pairs(run: Run, call: Call) -> Any:
    """The call's own answer, with the gradient that the same call has on the stand-ins."""
    if call.name.startswith(("get ", "set ")) or call.name in _PURE_DRAWS:
        return call.plain()
    if call.writes:
        return run.answer(call, lambda: _in_place(run, call))
    # The floats among the arguments keep their own gradient where no stand-in works, as for an index among them.
    exact = call.plain()
    if not isinstance(exact, Tensor | tuple | list) or any(exact is value for value in call.args):
        return exact
    shadow = run.attempt(call.name, lambda: _on_shadows(run, call).plain())
    result = _merged(run, call.name, exact, shadow)
    if call.name in _RESHAPES and isinstance(result, Tensor):
        run.shadows.carry(call.args[0], result)
    return result


def _on_shadows(run: Run, call: Call) -> Call:
    def stand_in(value: Tensor) -> Tensor:
        shadow = run.shadows.get(value)
        return value if shadow is None else shadow

    soft = call.exchanged(stand_in)
    kind = soft.kwargs.get("dtype")
    if isinstance(kind, torch.dtype) and not kind.is_floating_point:
        return Call(call.name, call.function, soft.args, {k: v for k, v in soft.kwargs.items() if k != "dtype"})
    return soft


def _in_place(run: Run, call: Call) -> Tensor:
    target: Tensor = run.soft(call.args[0]).clone()
    return _on_shadows(run, call).onto(target)


def _merged(run: Run, name: str, exact: Any, shadow: Any) -> Any:
    if isinstance(exact, Tensor):
        return run.linked(name, exact, shadow) if isinstance(shadow, Tensor) and shadow.requires_grad else exact
    if isinstance(exact, tuple | list) and isinstance(shadow, tuple | list) and len(exact) == len(shadow):
        parts = [_merged(run, name, one, other) for one, other in zip(exact, shadow, strict=True)]
        # torch's named results take their fields as one tuple.
        return type(exact)(parts) if type(exact) in (list, tuple) or hasattr(exact, "n_fields") else tuple(parts)
    return exact
