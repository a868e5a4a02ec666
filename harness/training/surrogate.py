"""A surrogate of another architecture, trained on the samples at hand, to craft transfer attacks on.

Source: Papernot et al. 2017 (substitute models); trained half on points of the ball's size away from the data, so that
its gradients point at features that matter at that size (Tramer et al. 2018, section 4).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream

STEPS = 200
_BATCH = 64
_SIDE = 16
"""Larger images are pooled to about this side."""


class _Standardise(nn.Module):
    """Zero mean, unit variance, over the training samples."""

    mean: Tensor
    scale: Tensor

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", x.mean())
        self.register_buffer("scale", x.std(unbiased=False).clamp(min=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


def _network(x: Tensor, classes: int) -> nn.Module:
    """A small convolutional net for images (N, C, H, W), a perceptron for everything else."""
    if x.dim() != 4:
        width = 128
        body = [nn.Flatten(), nn.Linear(x[0].numel(), width), nn.ELU(), nn.Linear(width, width), nn.ELU()]
        return nn.Sequential(_Standardise(x), *body, nn.Linear(width, classes))
    channels, side = x.shape[1], min(x.shape[2:])
    pool: list[nn.Module] = [nn.AvgPool2d(side // _SIDE)] if side >= 2 * _SIDE else []
    body = [
        *pool,
        nn.Conv2d(channels, 24, 5, padding=2, stride=2),
        nn.ELU(),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.ELU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
    ]
    return nn.Sequential(_Standardise(x), *body, nn.Linear(48 * 16, classes))


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
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which reseeds every CUDA device too.
        torch.default_generator.manual_seed(seed)
        network = _network(x, classes).to(x.device)
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
    return network.eval().requires_grad_(False)


def _worse(network: nn.Module, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """One signed gradient step of half the radius."""
    points = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(functional.cross_entropy(network(points), y), [points])
    return (x + 0.5 * radius * gradient.sign()).detach()
