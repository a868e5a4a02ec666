"""A surrogate of another architecture, trained on the samples at hand, to craft transfer attacks on.

Source: Papernot et al. 2017 (substitute models); trained half on points of the ball's size away from the data, so that
its gradients point at features that matter at that size (Tramer et al. 2018, section 4).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream
from .networks import frozen, smooth_classifier
from .seeding import seeded

STEPS = 200
_BATCH = 64


def train_surrogate(
    x: Tensor,
    y: Tensor,
    classes: int,
    *,
    radius: Tensor,
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> nn.Module:
    """A trained network with frozen weights.

    Args:
        x: samples (N, ...), any units.
        y: labels (N,).
        classes: K.
        radius: largest change per feature that attacks will make, broadcasting to x, in its units.
        seed: of weights and order; torch's global generator is left as it was.
        progress: called with 1 after every training step.
    """
    with seeded(seed):
        network = smooth_classifier(x, classes).to(x.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    order = Stream.create(seed, "surrogate", torch.zeros(1, dtype=torch.int64))
    count = min(_BATCH, len(x))
    for step in range(STEPS):
        rows = order.integers(step, (count,), len(x))[0].to(x.device)
        points, labels = x[rows], y[rows]
        reach = radius if radius.shape[0] == 1 else radius[rows]
        points = torch.cat([points, _worse(network, points, labels, reach)])
        optimiser.zero_grad()
        functional.cross_entropy(network(points), labels.repeat(2)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress(1)
    return frozen(network)


def _worse(network: nn.Module, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """One signed gradient step of half the radius."""
    points = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(functional.cross_entropy(network(points), y), [points])
    return (x + 0.5 * radius * gradient.sign()).detach()
