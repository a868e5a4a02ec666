"""A network of a third party inside a stage."""

import copy
import hashlib
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from ..errors import UsageError


class Held:
    """A copy of a network that neither learns nor collects gradients; a plain function is held as it is.

    It follows its input to another device, and is asked in its own precision.

    Raises:
        UsageError: the network is in training mode, where batches couple samples, or cannot be copied.
    """

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        self._module: nn.Module | None = None
        self._function = network
        self._name = getattr(network, "__name__", type(network).__name__)
        self._dtype: torch.dtype | None = None
        if isinstance(network, nn.Module):
            if any(module.training for module in network.modules()):
                raise UsageError("a network inside a defense must be in evaluation mode; call network.eval() first")
            self._module = _frozen(network)
            self._function = self._module
            self._dtype = next((p.dtype for p in self._module.parameters() if p.is_floating_point()), None)
            self._name = _digest(self._module)

    def __call__(self, x: Tensor) -> Tensor:
        """The network's answer to x, in the precision of x."""
        if self._module is not None:
            self._module.to(x.device)
        return self._function(x if self._dtype is None else x.to(self._dtype)).to(x.dtype)

    def __str__(self) -> str:
        """The first digits of the hash of its weights, or the name of the function."""
        return self._name


def _held(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return network if isinstance(network, Held) else Held(network)


HeldNetwork = Annotated[Callable[[Tensor], Tensor], AfterValidator(_held), Field(repr=False, exclude=True)]
"""A field that takes any callable from Tensor to Tensor and holds it as a `Held`."""


def _frozen(network: nn.Module) -> nn.Module:
    try:
        copied = copy.deepcopy(network)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UsageError(f"a network inside a defense must be one that copy.deepcopy can copy: {error}") from error
    return copied.requires_grad_(False)


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256(type(network).__name__.encode())
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        if isinstance(value, Tensor):
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:8]
