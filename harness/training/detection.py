"""A network that tells clean pixels from adversarial ones.

Source: Metzen et al. 2017, "On detecting adversarial perturbations", section 3.1 (a static adversary: points that fool
the classifier and do not know of the detector).
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream
from .networks import frozen
from .recipes import climbed
from .seeding import seeded


def train_detector(
    network: nn.Module,
    classifier: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    epochs: int,
    seed: int,
    pgd_steps: int = 10,
    batch: int = 64,
    rate: float = 2e-3,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> nn.Module:
    """Train `network`, pixels (N, ...) -> (N, 2), in place; it returns in eval mode with frozen weights.

    Every batch stands beside its own PGD points against `classifier`, each within a random share of eps (Linf), at
    least a quarter of it; torch's generator is left as it was.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, weight_decay=1e-4)
    count = max(1, len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * count)
    order = Stream.create(seed, "detection", torch.zeros(1, dtype=torch.int64))
    with seeded(seed, x.device):
        for epoch in track(range(epochs)):
            shuffled = order.uniform(epoch, (len(x),))[0].argsort().to(x.device)
            for number, rows in enumerate(torch.split(shuffled[: count * batch], batch)):
                stream = Stream.create(seed, f"detection/{epoch}/{number}", rows)
                radius = eps * stream.child("radius").uniform(0, (1,) * (x.dim() - 1), 0.25, 1.0)
                start = stream.uniform(0, tuple(x.shape[1:]), -1.0, 1.0)
                points = climbed(classifier, x[rows], y[rows], start, radius, pgd_steps)
                kinds = torch.arange(2, device=x.device).repeat_interleave(len(rows))
                optimiser.zero_grad()
                loss = functional.cross_entropy(network(torch.cat([x[rows], points])), kinds)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
    return frozen(network)
