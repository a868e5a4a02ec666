"""The operations that one real forward executes, and which of them stop a gradient of the input."""

import sys
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...effects import CUTS, DRAWS, LEAVES, ROUNDS, SORTS
from .families import RANKING, base_name, draws, effect_of, effect_of_types

_SAME = {"_to_copy", "alias", "clone", "detach", "view"}
_FUNCTION_FILE = torch.autograd.function.__file__


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the values of one input through everything that runs in the block; `found` has what stands in its way.

    What depends on it is known by storage, so that views and writes in place are followed. It sees detach and numpy,
    and no_grad if gradients are enabled around the block; the input itself needs none.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[str, str] = {}
        self.last = ""
        """The last operation on the way that changed a value."""
        self.tasks: set[int] = set()
        """The backward passes that the module made while it answered."""
        self._made: dict[int, str] = {}
        self._seen: dict[int, object] = {}
        self._ranked: dict[int, str] = {}
        self._mark(x)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Shielding this from the compiler would import the compiler, which takes seconds."""
        return False

    def __exit__(self, *error: Any) -> None:
        """Forget the tensors; the compiler may remember this mode."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._seen.clear()
        self._ranked.clear()
        self._made.clear()

    def made_by(self, value: Tensor) -> str:
        """The last operation on the way to this tensor that changed a value; empty for one that was not followed."""
        return self._made.get(_key(value), "")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation as it is and look at what went in and came out."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        # The engine numbers its runs, whoever started them; outside of one it says -1.
        if (task := torch._C._current_graph_task_id()) >= 0:
            self.tasks.add(task)
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        followed = [value for value in tensors if _key(value) in self._seen]
        schema = func._schema
        name = base_name(func)
        given = dict(zip((argument.name for argument in schema.arguments), args, strict=False)) | kwargs
        if draws(func, given):
            self.found[name] = DRAWS
        if followed and not name.endswith("_like") and not name.startswith("new_"):
            self.last = self._made.get(_key(followed[0]), "") if name in _SAME else name
            outputs = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
            self._judge(func.namespace, name, given, followed, outputs)
            for value in (*outputs, *(given.get(a.name) for a in schema.arguments if _written(a))):
                if isinstance(value, Tensor):
                    self._mark(value)
                    self._made[_key(value)] = self.last
        return result

    def _judge(
        self, namespace: str, name: str, given: dict[str, Any], followed: list[Tensor], outputs: list[Tensor]
    ) -> None:
        effect = effect_of(namespace, name)
        if effect is not None:
            self.found[name] = effect
        for value in followed:
            if (origin := self._ranked.get(_key(value))) is not None:
                self.found[origin] = SORTS
        if name in RANKING and len(outputs) > 1:
            self._ranked[_key(outputs[1])] = name
        floats = any(value.is_floating_point() for value in followed)
        if given.get("rounding_mode") is not None:
            self.found[f"{name}({given['rounding_mode']})"] = ROUNDS
        if name == "_local_scalar_dense" and floats:
            self.found["item"] = LEAVES
        # With a weight that the module does not own there is a graph, and autograd itself detaches what it keeps.
        if name == "detach" and floats and not any(value.requires_grad for value in followed):
            self.found["detach"] = CUTS
        if outputs:
            special = effect_of_types(name, followed[-1].dtype, outputs[0].dtype)
            self.found.update([special] if special else [])
            if floats and outputs[0].is_floating_point() and not torch.is_grad_enabled() and not _in_own_function():
                self.found["no_grad"] = CUTS

    def _mark(self, value: Tensor) -> None:
        self._seen[_key(value)] = _kept(value)


def _written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _key(value: Tensor) -> int:
    """The same for all tensors that share memory."""
    try:
        return int(value.untyped_storage()._cdata)
    except NotImplementedError:  # opaque tensors have no storage
        return id(value)


def _kept(value: Tensor) -> object:
    """What keeps the key from being given to another tensor, without keeping the memory."""
    try:
        return StorageWeakRef(value.untyped_storage())  # type: ignore[no-untyped-call]
    except NotImplementedError:
        return value


def _in_own_function() -> bool:
    """Whether an autograd.Function of the module runs, which has a backward of its own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "apply" and frame.f_code.co_filename == _FUNCTION_FILE:
            return True
        frame = frame.f_back
    return False
