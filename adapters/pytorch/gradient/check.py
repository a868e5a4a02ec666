"""Whether a module answers with stand-ins exactly as it does without, on a few samples."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ....harness.errors import ModelError
from .run import Run
from .shadows import Through


@dataclass(frozen=True)
class Verdict:
    """What became of the stand-ins."""

    usable: bool
    """They run, they change no bit, and a second forward and backward works as well."""
    alive: bool
    """The output has a gradient to the input."""
    notes: tuple[str, ...] = ()


def judge(
    plain: Callable[[Tensor], Tensor],
    soft: Callable[[Tensor], tuple[Tensor, Run]],
    x: Tensor,
    *,
    tolerance: float = 0.0,
) -> Verdict:
    """Compare the forward without stand-ins and the forward with them on x (N, ...), both from one random state.

    The tolerance is relative to the largest answer; 0 asks for the same bits.
    """
    run = Run()
    alive = False
    own: tuple[str, ...] = ()
    try:
        with torch.no_grad():
            deployed = plain(x)
        with torch.enable_grad():
            for _ in range(2):  # a module that remembers a tensor of its last forward fails in the second backward
                point = x.detach().clone().requires_grad_()
                answer, run = soft(point)
                alive = answer.requires_grad
                if alive:
                    torch.autograd.grad(answer.sum(), point, allow_unused=True)
                    own = _own_backwards(answer)
            # Some kernels differ when gradients are enabled, whatever else happens.
            allowed = tolerance * float(deployed.abs().max())
            same = _equal(answer, deployed, allowed) or _equal(
                answer, plain(x.detach().clone().requires_grad_()), allowed
            )
    except (ModelError, RuntimeError) as error:
        return Verdict(False, False, (f"gradient bpda is the exact one: the module fails with stand-ins ({error})",))
    if not same:
        return Verdict(False, False, ("gradient bpda is the exact one: with stand-ins the module answers otherwise",))
    backwards = (f"{name} has a backward of its own, which is used as it is" for name in own)
    return Verdict(True, alive, (*run.notes(), *backwards))


def _equal(a: Tensor, b: Tensor, allowed: float) -> bool:
    if a.shape != b.shape:
        return False
    return bool(((a == b) | (a.isnan() & b.isnan()) | ((a - b).abs() <= allowed)).all())


def _own_backwards(answer: Tensor) -> tuple[str, ...]:
    """Names of the autograd.Functions in the graph of an answer that are the module's."""
    pending, seen, found = [answer.grad_fn], set(), dict[str, None]()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction) and node._forward_cls is not Through:
            found[type(node).__name__.removesuffix("Backward")] = None
        pending.extend(previous for previous, _ in node.next_functions)
    return tuple(found)
