"""The state of one forward with stand-ins, and how the answers of a call and of its stand-in are put together."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from .abroad import Abroad
from .call import Call
from .shadows import Shadows, through

T = TypeVar("T")


class Run:
    """One forward: what stands in for what, and where no stand-in is known."""

    def __init__(self, kept: Callable[[], Iterable[Tensor]] = tuple) -> None:
        self.shadows = Shadows()
        self.abroad = Abroad()
        self.missing: dict[str, None] = {}
        """Functions at which a gradient ends."""
        self._kept = kept
        self._storages: set[int] | None = None

    def notes(self) -> tuple[str, ...]:
        """Where a gradient ends, for people."""
        names = [*self.missing, *(["numpy"] if self.abroad.missed else [])]
        return tuple(f"no surrogate for {name}: a gradient through it ends there" for name in names)

    def depends(self, value: object) -> bool:
        """Whether it is a tensor with a gradient, or one that something stands in for."""
        return isinstance(value, Tensor) and (value.requires_grad or value in self.shadows)

    def operand(self, value: Any) -> Any:
        """The stand-in of what may be a tensor or a number."""
        return self.soft(value) if isinstance(value, Tensor) else value

    def soft(self, value: Tensor) -> Tensor:
        """The stand-in of a tensor, itself for floats, the same number as a float for other tensors."""
        shadow = self.shadows.get(value)
        if shadow is not None:
            return shadow
        return value if value.is_floating_point() else value.to(torch.get_default_dtype())

    def keeps(self, value: Tensor) -> bool:
        """Whether it is a weight or buffer of the module, or a view of one, which no gradient may be written into."""
        if self._storages is None:
            self._storages = {id_ for id_ in map(_storage, self._kept()) if id_}
        return not value.requires_grad and _storage(value) in self._storages

    def answer(self, call: Call, surrogate: Callable[[], Tensor]) -> Any:
        """The call's own values with the gradient of the surrogate; without one if the surrogate fails."""
        shadow = self.attempt(call.name, surrogate)
        if shadow is None or not shadow.requires_grad:
            return call.plain()
        target = call.target
        if target is None:
            with torch.no_grad():
                exact = call.plain()
            return self.linked(call.name, exact, shadow)
        if target.is_floating_point():
            with torch.no_grad():
                exact = call.onto(target.detach().clone())
            target.copy_(through(exact, shadow))
        else:
            with torch.no_grad():
                call.plain()
            self.linked(call.name, target, shadow)
        return target

    def linked_to(self, name: str, exact: Tensor, surrogate: Callable[[], Tensor]) -> Tensor:
        """The same for a surrogate that is still to be computed and may fail."""
        shadow = self.attempt(name, surrogate)
        return exact if shadow is None or not shadow.requires_grad else self.linked(name, exact, shadow)

    def linked(self, name: str, exact: Tensor, shadow: Tensor) -> Tensor:
        """Floats with the gradient of the shadow, or whole numbers that it stands in for."""
        try:
            if exact.is_floating_point() and not exact.is_quantized:
                return through(exact, shadow)
            self.shadows.put(exact, shadow)
        except RuntimeError:  # the shapes do not fit
            self.missing[name] = None
        return exact

    def welcome(self, call: Call) -> None:
        """Give a gradient to what comes back from numpy."""
        for value in call.tensors():
            if not self.depends(value) and not self.keeps(value):
                origin = self.abroad.origin(value)
                if origin is not None:
                    self.linked(call.name, value, origin)

    def attempt(self, name: str, surrogate: Callable[[], T]) -> T | None:
        """What stands in, or None, with a mark that nothing does."""
        try:
            return surrogate()
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
            # What a function refuses on floats has no stand-in: the gradient ends, the values stay right.
            self.missing[name] = None
            return None


def _storage(value: Tensor) -> int:
    try:
        return int(value.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # opaque and uninitialised tensors have none
        return 0
