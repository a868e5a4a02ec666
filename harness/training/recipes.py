"""Recipes: standard training and PGD adversarial training of a small convolutional network, behind stages or bare."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream
from ..stage import Stage
from .networks import frozen
from .seeding import seeded


def small_cnn(
    channels: int, side: int, classes: int, *, activation: Callable[[], nn.Module] = nn.ReLU, width: int = 16
) -> nn.Sequential:
    """Two convolutions, the second with stride 2, and two linear layers; input (N, channels, side, side).

    Args:
        activation: makes the layer behind each of the first three, so a defense inside the network can go there.
        width: channels of the first convolution; the others grow with it.
    """
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        activation(),
        nn.Conv2d(width, 2 * width, 3, padding=1, stride=2),
        activation(),
        nn.Flatten(),
        nn.Linear(2 * width * ((side + 1) // 2) ** 2, 4 * width),
        activation(),
        nn.Linear(4 * width, classes),
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
    stages: Sequence[Stage] = (),
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> nn.Module:
    """Train in place and return the network in eval mode with frozen weights; torch's generator is left as it was.

    With eps above 0 every batch is replaced by its PGD points in the Linf ball, the radius growing over the first
    third of the epochs; they are found on the bare network. `stages` then transform every batch with fresh draws.

    Source: Madry et al. 2018, section 2.1 and 5 (PGD training); Adam with a cosine rate is ours.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, weight_decay=1e-4)
    count = max(1, len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * count)
    stream = Stream.create(seed, "recipe", torch.zeros(1, dtype=torch.int64))
    with seeded(seed, x.device):
        for epoch in track(range(epochs)):
            radius = eps * min(1.0, 3 * (epoch + 1) / epochs)
            order = stream.uniform(epoch, (len(x),))[0].argsort()
            for number, rows in enumerate(torch.split(order[: count * batch], batch)):
                points, labels = x[rows], y[rows]
                if eps > 0:
                    start = Stream.create(seed, f"pgd/{epoch}/{number}", rows).uniform(0, tuple(x.shape[1:]), -1.0, 1.0)
                    points = climbed(network, points, labels, start.to(x.device), radius, pgd_steps)
                points = _staged(stages, points, Stream.create(seed, f"stages/{epoch}/{number}", rows.to(x.device)))
                optimiser.zero_grad()
                functional.cross_entropy(network(points), labels).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
    return frozen(network)


def _staged(stages: Sequence[Stage], x: Tensor, stream: Stream) -> Tensor:
    with torch.no_grad():
        for number, stage in enumerate(stages):
            x = stage.forward(x, stream.child(f"{number}/{stage.label}"))
    return x


def climbed(network: nn.Module, x: Tensor, y: Tensor, start: Tensor, eps: float | Tensor, steps: int) -> Tensor:
    """PGD points of pixels x (N, ...) in the Linf ball, from x + eps * start."""
    points = (x + eps * start).clamp(0, 1)
    for _ in range(steps):
        points = points.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(network(points), y), [points])
        moved = points + 2.5 * eps / steps * gradient.sign()
        points = torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    return points.detach()
