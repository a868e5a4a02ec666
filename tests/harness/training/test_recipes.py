"""Recipes with a defense in front or inside, detectors and decoders: reproducible, and they learn."""

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.defenses.dropout import InferenceDropout
from robcheck.harness.defenses.gaussian_noise import GaussianNoise
from robcheck.harness.defenses.kwta import KWinnersTakeAll
from robcheck.harness.defenses.thermometer import Thermometer
from robcheck.harness.randomness import Stream
from robcheck.harness.training.decoder import train_decoder
from robcheck.harness.training.detection import train_detector
from robcheck.harness.training.recipes import climbed, small_cnn, train
from robcheck.harness.training.seeding import seeded


def blobs(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    centres = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(99))
    return (centres[y] + 0.1 * torch.randn(n, 1, 6, 6, generator=generator)).clamp(0, 1), y


def kept(call: object) -> object:
    """Fail if a call moves torch's global generator."""
    before = torch.get_rng_state()
    result = call()  # type: ignore[operator]
    assert torch.equal(torch.get_rng_state(), before)
    return result


def test_behind_a_stage_that_changes_the_channels() -> None:
    x, y = blobs(100)
    stage = Thermometer(levels=4)
    network = small_cnn(4, 6, 3, width=4)
    train(network, x, y, epochs=15, seed=0, batch=8, stages=(stage,), rate=5e-3)
    staged = stage.forward(x, Stream.create(0, "t", torch.arange(100)))
    assert (network(staged).argmax(dim=1) == y).float().mean() > 0.9


def test_stages_draw_afresh_in_every_epoch_and_the_same_again() -> None:
    x, y = blobs(48)
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(36, 3)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return self.last(x.flatten(1))

    noise = GaussianNoise(sigma=0.2)
    networks = []
    for _ in range(2):
        with seeded(1):
            spy = Spy()
        networks.append(train(spy, x, y, epochs=3, seed=0, batch=48, stages=(noise, noise)))
    assert len(seen) == 6
    assert all(torch.equal(a, b) for a, b in zip(seen[:3], seen[3:], strict=True))
    assert torch.equal(networks[0](x), networks[1](x))
    # Each epoch in its own order; one noise on top of the other, independent: variances add up.
    sizes = [
        float((epoch.mean(dim=(1, 2, 3)).sort().values - x.mean(dim=(1, 2, 3)).sort().values).abs().mean())
        for epoch in seen[:3]
    ]
    assert len(set(sizes)) == 3
    added = torch.cat([epoch.flatten(1).var(dim=1) for epoch in seen[:3]]).mean() - x.flatten(1).var(dim=1).mean()
    assert float(added) == pytest.approx(0.08, rel=0.1)


@pytest.mark.parametrize(
    "layer", [lambda: KWinnersTakeAll(0.3), lambda: nn.Sequential(nn.ReLU(), InferenceDropout(0.2))]
)
def test_a_defense_inside(layer: object) -> None:
    x, y = blobs(120)
    trained = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        with seeded(3):
            network = small_cnn(1, 6, 3, activation=layer, width=8)  # type: ignore[arg-type]
        trained.append(kept(lambda: train(network, x, y, epochs=15, seed=0, batch=8, rate=5e-3)))  # noqa: B023
    answers = []
    for network in trained:
        with seeded(0):
            answers.append(network(x))  # type: ignore[operator]
    assert torch.equal(*answers)
    assert (answers[0].argmax(dim=1) == y).float().mean() > 0.85


def test_a_detector_tells_clean_from_adversarial() -> None:
    x, y = blobs(120)
    with seeded(0):
        classifier = train(small_cnn(1, 6, 3, width=4), x, y, epochs=6, seed=0, batch=16)

    def made() -> nn.Module:
        with seeded(1):
            network = small_cnn(1, 6, 2, width=8)
        return train_detector(network, classifier, x, y, eps=0.3, epochs=20, seed=0, pgd_steps=3, batch=32)

    detector, again = kept(made), kept(made)
    fresh, labels = blobs(100, seed=5)
    points = climbed(classifier, fresh, labels, torch.zeros_like(fresh), 0.3, 5)
    assert (detector(fresh).argmax(dim=1) == 0).float().mean() > 0.8  # type: ignore[operator]
    assert (detector(points).argmax(dim=1) == 1).float().mean() > 0.8  # type: ignore[operator]
    assert torch.equal(detector(x), again(x))  # type: ignore[operator]


def test_a_decoder_is_better_than_the_mean_image() -> None:
    x, _ = blobs(150)
    decoder, again = (kept(lambda: train_decoder(x, 4, epochs=30, seed=0)) for _ in range(2))
    codes = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    images = decoder(codes)  # type: ignore[operator]
    assert torch.equal(images, again(codes))  # type: ignore[operator]
    assert images.shape == (400, 1, 6, 6)
    assert images.min() >= 0
    assert images.max() <= 1
    # Normal draws come near every image, although nobody searched.
    nearest = torch.cdist(x.flatten(1), images.flatten(1)).amin(dim=1)
    assert nearest.mean() < (x - x.mean(dim=0)).flatten(1).norm(dim=1).mean()
