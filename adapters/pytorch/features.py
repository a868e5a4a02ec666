"""What the last linear layer of a module takes: the features behind its scores."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ...harness.classifier import Forward
from ...harness.errors import ModelError
from .gradient.eager import eagerly


def last_layer(module: nn.Module, run: Callable[[], Tensor], classes: int | None) -> nn.Linear | None:
    """The linear layer that ran last of those with one output per class for every sample; None without one."""
    ran: list[nn.Linear] = []
    answered: list[tuple[int, ...]] = []

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        if isinstance(layer, nn.Linear) and isinstance(output, Tensor):
            ran.append(layer)
            answered.append(tuple(output.shape))

    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with eagerly(module):
            samples = len(run())
    finally:
        for hook in hooks:
            hook.remove()
    fitting = [layer for layer, shape in zip(ran, answered, strict=True) if shape == (samples, classes)]
    return fitting[-1] if fitting else None


def taking(layer: nn.Linear, module: nn.Module, forward: Forward) -> Forward:
    """What the layer takes when `forward`, which runs the module, is asked: (N, ...) -> (N, F) in float32."""

    def features(x: Tensor) -> Tensor:
        taken: list[Tensor] = []
        hook = layer.register_forward_hook(lambda _, inputs, __: taken.append(inputs[0]))
        try:
            with eagerly(module):
                forward(x)
        finally:
            hook.remove()
        if not taken:
            raise ModelError("the last linear layer does not run for these samples")
        return taken[-1].flatten(1).float().to(x.device)

    return features
