"""Training for what interval bounds can prove."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream
from .networks import frozen
from .seeding import seeded

_CLEAN = 0.5
"""Least weight of the clean loss."""
_NORM = 1.0


def perceptron(numbers: int, classes: int, *, width: int = 64) -> nn.Sequential:
    """Two hidden layers of ReLU for samples (N, ...) of so many numbers; (N, classes) logits."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(numbers, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )


def train_certified(
    network: nn.Sequential,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    epochs: int,
    seed: int,
    batch: int = 64,
    rate: float = 2e-3,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> nn.Module:
    """Train in place on pixels x (N, ...) in [0, 1] and their Linf balls; the network comes back frozen.

    The loss goes in equal steps from the one of the clean sample to half of it and half of the one of the worst
    logits that interval bounds allow, while the radius grows to eps; both over the first half of the epochs.

    Args:
        network: of Linear, Conv2d, ReLU and Flatten layers, the last one Linear.

    Source: Gowal et al. 2018, "On the effectiveness of interval bound propagation", section 3; the clipped
    gradient is ours.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    count = max(1, len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * count)
    stream = Stream.create(seed, "certified", torch.zeros(1, dtype=torch.int64))
    with seeded(seed, x.device):
        for epoch in track(range(epochs)):
            grown = min(1.0, 2 * (epoch + 1) / epochs)
            order = stream.uniform(epoch, (len(x),))[0].argsort()
            for rows in torch.split(order[: count * batch], batch):
                points, labels = x[rows], y[rows]
                clean = functional.cross_entropy(network(points), labels)
                worst = functional.cross_entropy(worst_logits(network, points, labels, eps * grown), labels)
                kept = 1 - (1 - _CLEAN) * grown
                optimiser.zero_grad()
                (kept * clean + (1 - kept) * worst).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), _NORM)
                optimiser.step()
                schedule.step()
    return frozen(network)


def worst_logits(network: nn.Sequential, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Logits (N, K), that of y at 0, whose distances to it are as bad as interval bounds over the balls allow."""
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
    *layers, last = network
    centre, radius = (low + high) / 2, (high - low) / 2
    for layer in layers:
        centre, radius = _passed(layer, centre, radius)
    assert isinstance(last, nn.Linear)
    # All differences to the logit of y at once: the bounds of a difference are tighter than those of its two sides.
    weight = last.weight[None] - last.weight[y][:, None]
    worst = (weight * centre[:, None]).sum(2) + (weight.abs() * radius[:, None]).sum(2)
    return worst if last.bias is None else worst + last.bias - last.bias[y][:, None]


def _passed(layer: nn.Module, centre: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(layer, nn.Linear):
        return layer(centre), functional.linear(radius, layer.weight.abs())
    if isinstance(layer, nn.Conv2d):
        assert layer.padding_mode == "zeros"
        spread = partial(
            functional.conv2d,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )
        return layer(centre), spread(radius, layer.weight.abs())
    assert isinstance(layer, nn.ReLU | nn.Flatten)
    low, high = layer(centre - radius), layer(centre + radius)
    return (low + high) / 2, (high - low) / 2
