"""A first forward that is watched, for the obstacles on the way of a gradient."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ....harness.errors import ModelError
from .eager import eagerly
from .watch import Watch


def watched(forward: Callable[..., Tensor], x: Tensor, module: nn.Module) -> tuple[Tensor, dict[str, str]] | None:
    """The answer for x (N, ...) and operation -> what it does to a gradient; None where the module fails.

    `forward` takes x and what the module is to run in, as `SoftForward` has it.
    """
    watches: list[Watch] = []

    def watch(inputs: Tensor) -> Watch:
        watches.append(Watch(inputs))
        return watches[-1]

    try:
        # Gradients are enabled so that a no_grad inside shows; nothing has one that autograd could keep.
        with torch.enable_grad(), eagerly(module):
            answer = forward(x.detach(), watch).detach()
    except ModelError:
        return None
    return answer, watches[0].found
