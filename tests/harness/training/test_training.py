"""Surrogates and recipes: any shape, no global random number, better than chance."""

import pytest
import torch
from torch import Tensor

from robcheck.harness.training.recipes import small_cnn, train
from robcheck.harness.training.surrogate import STEPS, train_surrogate


def blobs(n: int, shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    centres = torch.rand(3, *shape, generator=torch.Generator().manual_seed(99))
    return (centres[y] + 0.1 * torch.randn(n, *shape, generator=generator)).clamp(0, 1), y


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(5,), (1,), (2, 4), (1, 1, 1), (3, 8, 8), (2, 3, 2, 2)])
def test_a_surrogate_learns_any_shape(shape: tuple[int, ...]) -> None:
    x, y = blobs(60, shape)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    network = train_surrogate(x, y, 3, radius=torch.full((1,) * x.dim(), 0.01), seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert network(x).shape == (60, 3)
    if len(shape) > 1 and shape != (1, 1, 1):
        assert (network(x).argmax(dim=1) == y).float().mean() > 0.9
    torch.manual_seed(4)
    again = train_surrogate(x, y, 3, radius=torch.full((60, *[1] * (x.dim() - 1)), 0.01), seed=0)
    assert torch.equal(again(x), network(x))


def test_a_surrogate_of_large_images_and_of_one_sample() -> None:
    x, y = blobs(3, (1, 40, 33))
    network = train_surrogate(x, y, 3, radius=torch.full((1, 1, 1, 1), 0.1), seed=1)
    assert network(x).shape == (3, 3)
    one = train_surrogate(x[:1], y[:1], 3, radius=torch.zeros(1, 1, 1, 1), seed=1)
    assert one(x).isfinite().all()
    flat = train_surrogate(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), 2, radius=torch.zeros(1, 1), seed=1)
    assert flat(torch.zeros(4, 2)).isfinite().all()


def test_seeds_and_progress() -> None:
    x, y = blobs(30, (4,))
    steps: list[int] = []
    networks = [train_surrogate(x, y, 3, radius=torch.zeros(1, 1), seed=s, progress=steps.append) for s in (0, 1)]
    assert sum(steps) == 2 * STEPS
    assert not torch.equal(networks[0](x), networks[1](x))


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_a_recipe_trains_the_same_network_twice(eps: float) -> None:
    x, y = blobs(130, (1, 6, 6))
    trained = []
    for noise in (1, 2):
        torch.manual_seed(0)
        network = small_cnn(1, 6, 3)
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        trained.append(train(network, x, y, epochs=8, seed=5, eps=eps, pgd_steps=2, batch=16))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(trained[0](x), trained[1](x))
    assert (trained[0](x).argmax(dim=1) == y).float().mean() > 0.8
    assert not trained[0].training


def test_adversarial_training_is_harder_to_fool() -> None:
    x, y = blobs(120, (1, 4, 4), seed=1)
    fooled = []
    for eps in (0.0, 0.2):
        torch.manual_seed(0)
        network = train(small_cnn(1, 4, 3), x, y, epochs=15, seed=0, eps=eps, pgd_steps=4, batch=16)
        points = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(network(points), y), [points])
        moved = (x + 0.2 * gradient.sign()).clamp(0, 1)
        fooled.append(float((network(moved).argmax(dim=1) != y).float().mean()))
    assert fooled[1] < fooled[0]
