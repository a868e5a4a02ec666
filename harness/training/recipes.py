"""Recipes: standard training and PGD adversarial training of a small convolutional network."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream


def small_cnn(channels: int, side: int, classes: int) -> nn.Sequential:
    """Two convolutions, the second with stride 2, and two linear layers; input (N, channels, side, side)."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * ((side + 1) // 2) ** 2, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def train(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    seed: int,
    eps: float = 0.0,
    pgd_steps: int = 7,
    batch: int = 64,
    rate: float = 2e-3,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> nn.Module:
    """Train in place and return the network in eval mode with frozen weights.

    With eps above 0 every batch is replaced by its PGD points in the Linf ball, the radius growing over the first
    third of the epochs.

    Source: Madry et al. 2018, section 2.1 and 5 (PGD training); Adam with a cosine rate is ours.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, weight_decay=1e-4)
    count = max(1, len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * count)
    stream = Stream.create(seed, "recipe", torch.zeros(1, dtype=torch.int64))
    for epoch in track(range(epochs)):
        radius = eps * min(1.0, 3 * (epoch + 1) / epochs)
        order = stream.uniform(epoch, (len(x),))[0].argsort()
        for number, rows in enumerate(torch.split(order[: count * batch], batch)):
            points, labels = x[rows], y[rows]
            if eps > 0:
                start = Stream.create(seed, f"pgd/{epoch}/{number}", rows).uniform(0, tuple(x.shape[1:]), -1.0, 1.0)
                points = _pgd(network, points, labels, start, radius, pgd_steps)
            optimiser.zero_grad()
            functional.cross_entropy(network(points), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return network.eval().requires_grad_(False)


def _pgd(network: nn.Module, x: Tensor, y: Tensor, start: Tensor, eps: float, steps: int) -> Tensor:
    points = (x + eps * start).clamp(0, 1)
    for _ in range(steps):
        points = points.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(network(points), y), [points])
        moved = points + 2.5 * eps / steps * gradient.sign()
        points = torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    return points.detach()
