"""Somebody else's module, used as it would be deployed and left as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
