"""A forward that is watched, for the obstacles on the way of a gradient."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ....harness.errors import ModelError
from .eager import eagerly
from .watch import Watch


def watched(forward: Callable[..., Tensor], x: Tensor, module: nn.Module) -> Watch | None:
    """What was seen while the module answered for x (N, ...); None where it fails.

    `forward` takes x and what the module is to run in, as `SoftForward` has it.
    """
    watches: list[Watch] = []

    def watch(inputs: Tensor) -> Watch:
        watches.append(Watch(inputs))
        return watches[-1]

    try:
        # Gradients are enabled so that a no_grad inside shows; nothing has one that autograd could keep.
        with torch.enable_grad(), eagerly(module):
            forward(x.detach(), watch)
    except ModelError:
        return None
    return watches[0]
