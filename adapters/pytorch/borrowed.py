"""Somebody else's module, used as it would be deployed and left as it was found."""

import copy as copying
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from .weights import first_line


@contextmanager
def as_deployed(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradient on the weights for as long as the block runs.

    A part that overrides `eval` to stay in training mode stays in it, as it would in deployment.
    """
    training = [part for part in module.modules() if part.training]
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for part in training:
            part.eval()
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for part in training:
            part.training = True
        for weight in weights:
            weight.requires_grad_(True)


@contextmanager
def without_histories(module: nn.Module) -> Iterator[None]:
    """Let no buffer that the block writes into keep the graph of what was written.

    The buffer is exchanged for one on the same memory, because the backward of the block may still need the old one.
    """
    try:
        yield
    finally:
        for part in module.modules():
            for name, buffer in part._buffers.items():
                if buffer is not None and not buffer.is_leaf:
                    part._buffers[name] = buffer.detach()


def copied(module: nn.Module, notes: list[str]) -> nn.Module:
    """A deep copy, or with a note the module itself where it cannot be copied."""
    try:
        return copying.deepcopy(module)
    except Exception as error:  # a module may hold anything: locks, generators, tensors with a history
        notes.append(
            f"the module cannot be copied ({first_line(error)}), so it was itself put into evaluation mode and frozen"
        )
        return module


def settle(module: nn.Module, notes: list[str], *, tell: bool) -> None:
    """Evaluation mode and no gradient on the weights, in place; `tell` if the module was in training mode."""
    if tell:
        tell_training(module, notes)
    for part in module.modules():
        try:
            part.eval()
        except NotImplementedError:  # programs from torch.export have their mode built in
            notes.append("the program keeps the mode in which it was exported")
            break
    if not tell:
        notes.extend(_left_training(module))
    for weight in module.parameters():
        weight.requires_grad_(False)


def tell_training(module: nn.Module, notes: list[str]) -> None:
    """Note what was in training mode, and what no switch reaches."""
    training = [name or "the module itself" for name, part in module.named_modules() if part.training]
    if training:
        notes.append(
            f"{len(training)} of its parts were in training mode (first: {training[0]}): evaluated in evaluation mode"
        )
    notes.extend(_left_training(module))


def _left_training(module: nn.Module) -> list[str]:
    return [
        f"the modules in the plain list or dictionary {name!r} stay in training mode: put them into nn.ModuleList"
        for name in _hidden(module)
    ]


def _hidden(module: nn.Module) -> list[str]:
    """Modules in plain lists and dictionaries, which torch neither finds, moves nor switches to evaluation mode."""
    found = []
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            if name != "_modules" and any(isinstance(item, nn.Module) and item.training for item in held):
                found.append(f"{prefix}.{name}".lstrip("."))
    return found
