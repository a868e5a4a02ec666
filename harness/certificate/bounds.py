"""A model's forward on boxes, and what the bounds of its logits prove."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import NotApplicableError
from .call import Call, refuse
from .interval import TINY, Interval
from .rules import RULES

_NUMBERS = 1 << 24


class Bounds(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside of the block every operation of torch takes intervals too; one without a rule raises."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Shielding this from the compiler would import the compiler, which takes seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One operation of the model."""
        kwargs = kwargs or {}
        boxes = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Interval)]
        if not boxes:
            return func(*args, **kwargs)
        defaults = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
        names = [argument.name for argument in func._schema.arguments]
        given = dict(zip(names, args, strict=False)) | kwargs
        given |= {name: value for name, value in defaults.items() if name not in given}
        given = {name: given[name] for name in names}
        name, dtype = func._schema.name.removeprefix("aten::"), boxes[0].dtype
        if func._schema.is_mutable:
            return _written(name, func, given, dtype)
        call = Call(name, func, given, dtype)
        rule = RULES.get(name)
        if rule is None:
            raise refuse(call)
        return rule(call)


def _written(name: str, func: Any, given: dict[str, Any], dtype: torch.dtype) -> Interval:
    """An operation in place: the same on a copy, if nothing else looks at the memory."""
    target = next(iter(given.values()))
    rule, packet = RULES.get(name[:-1]), getattr(torch.ops.aten, name[:-1], None)
    function = getattr(packet, func._overloadname, None)
    call = Call(name[:-1], function or func, given, dtype)
    if not name.endswith("_") or rule is None or function is None or not isinstance(target, Interval) or target.shared:
        raise NotApplicableError(f"no bounds are known for {name} in place")
    found = rule(call)
    if not isinstance(found, Interval) or found.shape != target.shape:
        raise NotApplicableError(f"no bounds are known for {name} in place")
    target.low, target.high, target.made = found.low, found.high, found.made
    return target


def bounded(forward: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Interval:
    """What `forward` may answer to anything between low and high (N, ...), scores (N, K).

    Its own code runs, on intervals of float64; that the model itself computes in float32 is not part of the proof.

    Raises:
        NotApplicableError: it does something for which no bounds are known.
    """
    box = Interval(low.double(), high.double(), torch.float32)
    try:
        with torch.no_grad(), Bounds():  # type: ignore[no-untyped-call]
            answer = forward(box)
    except NotApplicableError:
        raise
    except Exception as error:  # somebody else's code, on tensors that it was not made for
        raise NotApplicableError(f"the model cannot be run on intervals: {_reason(error)}") from error
    if not isinstance(answer, Interval) or answer.dim() != 2:
        raise NotApplicableError("the model's answer does not depend on its input as far as bounds can tell")
    return answer


def _reason(error: BaseException) -> str:
    """What an adapter may have wrapped."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, NotApplicableError):
            return str(inner)
        inner = inner.__cause__ or inner.__context__
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def margins(scores: Interval, y: Tensor) -> Tensor:
    """Lower bounds of the score of class y (N,) less each other one, (N, K), infinite for y itself.

    Where the last layer is known, it is bounded for each difference at once, which is tighter than for two scores.
    """
    y, rows = y.to(scores.low.device), torch.arange(len(y), device=scores.low.device)
    found = scores.low[rows, y][:, None] - scores.high
    if scores.made is not None:
        found = torch.maximum(found, _of_differences(scores, y))
    found[rows, y] = torch.inf
    return found


def _of_differences(scores: Interval, y: Tensor) -> Tensor:
    made = scores.made
    assert made is not None
    weight, offset, centre = made.weight, made.offset, made.source.centre
    radius = made.source.radius(centre)
    parts = []
    for rows in torch.split(torch.arange(len(y), device=y.device), max(1, _NUMBERS // weight.numel())):
        labels = y[rows]
        apart = weight.t()[labels][:, None] - weight.t()[None]
        shift = offset[labels][:, None] - offset[None]
        sure = (apart * centre[rows][:, None]).sum(dim=2) + shift
        loose = (apart.abs() * radius[rows][:, None]).sum(dim=2) + TINY * (offset.abs().max() * 2 + sure.abs())
        parts.append(sure - loose)
    return torch.cat(parts)
