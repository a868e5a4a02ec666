"""What every reference product is made with: one architecture, one recipe, one seed, one CPU thread."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ...harness.classifier import Classifier
from ...harness.stage import Stage
from ...harness.training.recipes import small_cnn, train
from ...harness.training.seeding import seeded
from ..pytorch.module import wrap_module
from .samples import training

SIDE, CLASSES = 8, 10
_BATCH = 32

Activation = Callable[[], nn.Module]


@dataclass(frozen=True)
class Workshop:
    """Seed and length of the training, and where the product is to lie; weights are always trained on the CPU."""

    name: str
    epochs: int
    seed: int = 0
    device: str = "cpu"
    progress: Callable[[int], None] = lambda _: None
    family: str = "reference"
    """Whose name the product bears."""

    def classifier(
        self,
        *,
        stages: Sequence[Stage] = (),
        channels: int = 1,
        activation: Activation = nn.ReLU,
        member: int = 0,
    ) -> Classifier:
        """The network, trained behind `stages`, behind the contract.

        Args:
            channels: of what the last stage hands on.
            activation: with the defense that lies inside.
            member: of an ensemble: each has a seed of its own, the first one the seed of the product.
        """
        network = self.network(channels, activation=activation, member=member)
        self.trained(network, stages=stages, member=member)
        return self.wrapped(network)

    def network(
        self, channels: int = 1, *, classes: int = CLASSES, activation: Activation = nn.ReLU, member: int = 0
    ) -> nn.Module:
        """The architecture with fresh weights."""
        with seeded(self.seed + member):
            return small_cnn(channels, SIDE, classes, activation=activation)

    def trained(
        self,
        network: nn.Module,
        *,
        stages: Sequence[Stage] = (),
        member: int = 0,
        eps: float = 0.0,
        batch: int = _BATCH,
    ) -> nn.Module:
        """The same network after the recipe; eps above 0 makes it adversarial training."""
        x, y = training()
        seed = self.seed + member
        return train(
            network, x, y, epochs=self.epochs, seed=seed, eps=eps, batch=batch, stages=stages, track=self.track
        )

    def wrapped(self, network: nn.Module) -> Classifier:
        """The network as a classifier that nobody else uses, on the device of the product."""
        return wrap_module(
            network,
            name=f"{self.family}:{self.name}",
            classes=CLASSES,
            device=self.device,
            copy=False,
            trust="data-only",
        )

    def track(self, epochs: Iterable[int]) -> Iterator[int]:
        """Tell of each epoch."""
        for epoch in epochs:
            yield epoch
            self.progress(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread, so that the weights do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
