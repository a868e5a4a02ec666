"""A decoder of images, trained as one half of an autoencoder.

Source: Samangouei et al. 2018, "Defense-GAN", section 3 (any generator with a code of few numbers will do; theirs is a
WGAN, which needs hours); Hinton and Salakhutdinov 2006 (autoencoders).
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..randomness import Stream
from .networks import frozen
from .seeding import seeded

_WIDTH = 128


def train_decoder(
    x: Tensor,
    size: int,
    *,
    epochs: int,
    seed: int,
    batch: int = 64,
    rate: float = 3e-3,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> nn.Module:
    """A frozen perceptron from codes (N, size) to images like x (N, C, H, W) in [0, 1].

    The codes of the training images have mean 0 and variance 1 in every number, so that standard normal draws are fair
    starts of a search; torch's global generator is left as it was.
    """
    shape = tuple(x.shape[1:])
    with seeded(seed):
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), _WIDTH), nn.ELU(), nn.Linear(_WIDTH, size))
        last = [nn.Linear(_WIDTH, math.prod(shape)), nn.Sigmoid(), nn.Unflatten(1, shape)]
        decoder = nn.Sequential(nn.Linear(size, _WIDTH), nn.ELU(), *last).to(x.device)
    encoder = encoder.append(nn.BatchNorm1d(size, affine=False)).to(x.device)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=rate)
    count = max(1, len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * count)
    order = Stream.create(seed, "decoder", torch.zeros(1, dtype=torch.int64))
    for epoch in track(range(epochs)):
        shuffled = order.uniform(epoch, (len(x),))[0].argsort().to(x.device)
        for rows in torch.split(shuffled[: count * batch], batch):
            optimiser.zero_grad()
            functional.mse_loss(decoder(encoder(x[rows])), x[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return frozen(decoder)
