"""One call of a torch function, as the module made it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_OPERATORS = ("add", "and", "floordiv", "lshift", "mod", "mul", "or", "pow", "rshift", "sub", "truediv", "xor")
_WRITING = {"__setitem__", *(f"__i{name}__" for name in _OPERATORS)}


def name_of(function: Any) -> str:
    """What torch.f, Tensor.f and torch.ops.aten.f share; "get f" for the property f, "space::f" for other operators."""
    if isinstance(function, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        packet = function if isinstance(function, torch._ops.OpOverloadPacket) else function.overloadpacket
        return packet._qualified_op_name.removeprefix("aten::")
    name: str = getattr(function, "__name__", "")
    if name in ("__get__", "__set__"):
        return f"{name.strip('_')} {getattr(function.__self__, '__name__', '')}"
    return name


def called(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Call":
    """The call, with a first argument that was given by name in its place."""
    if not args and "input" in kwargs:
        args, kwargs = (kwargs["input"],), {name: value for name, value in kwargs.items() if name != "input"}
    return Call(name_of(function), function, args, kwargs)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a value and in lists, tuples and slices of values."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, slice):
        yield from tensors_in((value.start, value.stop, value.step))


def exchanged(value: Any, exchange: Callable[[Tensor], Tensor]) -> Any:
    """The value with every tensor in it exchanged, inside of lists and tuples too."""
    if isinstance(value, Tensor):
        return exchange(value)
    if isinstance(value, list | tuple) and any(True for _ in tensors_in(value)):
        inner = [exchanged(item, exchange) for item in value]
        return inner if isinstance(value, list) else tuple(inner)
    return value


@dataclass(frozen=True)
class Call:
    """A function of torch and what it was called with."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def writes(self) -> bool:
        """Whether it works in place on its first argument."""
        name = self.name
        return name in _WRITING or (name.endswith("_") and not name.endswith("__"))

    @property
    def target(self) -> Tensor | None:
        """The tensor that it writes into."""
        return self.args[0] if self.writes and self.args and isinstance(self.args[0], Tensor) else None

    def plain(self) -> Any:
        """What it answers."""
        return self.function(*self.args, **self.kwargs)

    def get(self, place: int, *names: str, default: Any = None) -> Any:
        """An argument by its place or one of its names."""
        if len(self.args) > place:
            return self.args[place]
        return next((self.kwargs[name] for name in names if name in self.kwargs), default)

    def tensors(self) -> Iterator[Tensor]:
        """All tensors among the arguments."""
        yield from tensors_in(self.args)
        for value in self.kwargs.values():
            yield from tensors_in(value)

    def onto(self, target: Tensor) -> Tensor:
        """The target after the same call has worked on it in place."""
        self.function(target, *self.args[1:], **self.kwargs)
        return target

    def exchanged(self, exchange: Callable[[Tensor], Tensor]) -> "Call":
        """The same call on other tensors."""
        kwargs = {name: exchanged(value, exchange) for name, value in self.kwargs.items()}
        return Call(self.name, self.function, exchanged(self.args, exchange), kwargs)
