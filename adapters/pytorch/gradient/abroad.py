"""Tensors that a module hands to numpy, and what comes back in their place."""

from typing import Any

from torch import Tensor

from .call import Call, tensors_in

_BUILDERS = {"tensor", "as_tensor", "asarray", "new_tensor"}
_LAYOUTS = ((0, 2, 3, 1), (0, 3, 1, 2), (1, 2, 0), (2, 0, 1))


class Abroad:
    """A filter that works in numpy gives back pictures in the order in which it took them, so that the identity can
    stand in for it. A tensor is taken for what came back if no call of torch made it and it has the same shape, or the
    same with the channels at the other end.
    """

    def __init__(self) -> None:
        self._left: list[Tensor] = []
        self._met: dict[int, Tensor] = {}
        self._away = False

    def __bool__(self) -> bool:
        return self._away

    @property
    def missed(self) -> bool:
        """Whether something left and never came back."""
        return bool(self._left)

    def left(self, value: Tensor) -> None:
        """Remember a tensor that leaves, by its stand-in."""
        self._away = True
        if value.requires_grad and not any(value is other for other in self._left):
            self._left.append(value)

    def met(self, call: Call, answer: Any) -> None:
        """What a call of torch makes comes from no array."""
        if call.name not in _BUILDERS:
            self._met.update((id(value), value) for value in tensors_in(answer))

    def origin(self, value: Tensor) -> Tensor | None:
        """The tensor that came back as this one."""
        if id(value) in self._met or not self._left:
            return None
        self._met[id(value)] = value
        for place, other in enumerate(self._left):
            for fitting in (other, *(other.permute(axes) for axes in _LAYOUTS if len(axes) == other.dim())):
                if fitting.shape == value.shape:
                    del self._left[place]
                    return fitting
        return None
