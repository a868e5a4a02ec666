"""Digit classifiers with awkward fronts, backs and bodies, trained in seconds and the same on every call."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from robcheck.adapters.data.digits import digits

LEVELS = 7
"""The rounding defence keeps the pixels 0, 1/7, ..., 1."""


class Front(nn.Module):
    """A fixed function of the pixels as a module, so that exporters see it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Rows(nn.Module):
    """Recurrent cells over the eight rows of an image, in both directions."""

    def __init__(self, cells: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.cells = cells(8, 48, batch_first=True, bidirectional=True)
        self.head = nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.cells(x.squeeze(1))
        return self.head(states[:, -1] + states[:, 0])


class Attention(nn.Module):
    """One transformer block over the eight rows of an image."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.place = nn.Parameter(0.1 * torch.randn(1, 8, width))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.squeeze(1)) + self.place
        normal = self.before(tokens)
        query, key, value = (part(normal).unflatten(-1, (4, -1)).transpose(1, 2) for part in self.parts())
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(mixed)
        return self.head((tokens + self.mlp(self.after(tokens))).mean(1))

    def parts(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.query, self.key, self.value


class _Sign(torch.autograd.Function):
    """Sign with the gradient that such networks are trained with."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient * (x.abs() <= 1)


class Sign(nn.Module):
    """-1, 0 or 1; exporters only ever see the evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return _Sign.apply(x) if self.training else x.sign()


def cnn(channels: int = 1, activation: type[nn.Module] = nn.ReLU, widths: tuple[int, int] = (8, 16)) -> nn.Sequential:
    """Three convolutions and a global average; exporters fold the normalisation away."""
    return nn.Sequential(
        nn.Conv2d(channels, widths[0], 3, padding=1),
        nn.BatchNorm2d(widths[0]),
        activation(),
        nn.MaxPool2d(2),
        nn.Conv2d(*widths, 3, padding=1),
        nn.BatchNorm2d(widths[1]),
        activation(),
        nn.Conv2d(widths[1], 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


class Product(nn.Module):
    """A linear layer that exporters write as MatMul and Add."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight) + self.bias


def mlp() -> nn.Sequential:
    """Three MatMuls with a normalisation that no convolution can take in."""
    return nn.Sequential(
        nn.Flatten(),
        Product(64, 48),
        nn.BatchNorm1d(48),
        nn.ReLU(),
        Product(48, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        Product(32, 10),
    )


def thermometer(x: Tensor) -> Tensor:
    """One channel per threshold: 1 where the pixel is above it."""
    return torch.cat([(x > (k + 0.5) / 8).float() for k in range(8)], dim=1)


def rounded(x: Tensor) -> Tensor:
    return torch.round(x * LEVELS) / LEVELS


_BODIES: dict[str, Callable[[], nn.Module]] = {
    "cnn": cnn,
    "mlp": mlp,
    "rows": Rows,
    "gated": lambda: Rows(nn.GRU),
    "attention": Attention,
    "sign": lambda: cnn(activation=Sign, widths=(24, 32)),
    "normalised": lambda: nn.Sequential(Front(lambda x: (x - 0.3) / 0.35), cnn()),
    "binarised": lambda: nn.Sequential(Front(lambda x: (x > 0.5).float()), cnn()),
    "rounded": lambda: nn.Sequential(Front(rounded), cnn()),
    "thermometer": lambda: nn.Sequential(Front(thermometer), cnn(8)),
}


def samples(split: str) -> tuple[Tensor, Tensor]:
    """x (N, 1, 8, 8) in [0, 1] and y (N,)."""
    x, y = digits(split)
    return torch.from_numpy(x), torch.from_numpy(y)


@cache
def trained(body: str) -> nn.Module:
    """The named network in evaluation mode; the global generator is left as it was."""
    x, y = samples("train")
    epochs = 80 if body in ("rows", "gated") else 25
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _BODIES[body]()
        optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * (len(x) // 64))
        for _ in range(epochs):
            order = torch.randperm(len(x))[: len(x) // 64 * 64].reshape(-1, 64)
            for rows in order:
                optimiser.zero_grad()
                functional.cross_entropy(network(x[rows]), y[rows]).backward()
                optimiser.step()
                schedule.step()
    return network.eval().requires_grad_(False)
