"""Networks in the place of stages: against stages whose expectation is known, and a bad fit that shows."""

import math

import pytest
import torch
from torch import Tensor

from robcheck.harness.defenses.bit_depth import BitDepth
from robcheck.harness.defenses.gaussian_noise import GaussianNoise
from robcheck.harness.defenses.resize_pad import ResizePad
from robcheck.harness.defenses.thermometer import Thermometer
from robcheck.harness.randomness import Stream
from robcheck.harness.stage import Surrogate
from robcheck.harness.training.around import held_out, nearby
from robcheck.harness.training.reparameterise import reparameterise

RADIUS = torch.full((1, 1, 1, 1), 0.1)


def pixels(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


class Flip:
    """x -> 1 - x on anything; random ones answer with the truth or with twice the truth minus a coin."""

    label = "flip"
    surrogate = Surrogate("opaque", "for tests")

    def __init__(self, random: bool = False) -> None:
        self.random = random

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        noise = stream.normal(0, tuple(x.shape[1:])) if self.random else 0.0
        return 1 - x + noise

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x


def test_noise_around_the_identity_is_the_identity() -> None:
    x = pixels(40, 1, 8, 8)
    fit = reparameterise(GaussianNoise(sigma=0.3), x, radius=RADIUS, seed=0, steps=60, width=8)
    assert fit.spread == pytest.approx(0.3, rel=0.05)
    assert fit.identity is not None
    # The identity is the truth here: what is left is what 32 draws cannot tell.
    assert fit.identity < 0.03
    assert fit.error < 0.06
    assert fit.samples == 8


def test_the_identity_s_error_has_a_closed_form() -> None:
    fit = reparameterise(BitDepth(bits=3), pixels(50, 1, 8, 8), radius=RADIUS * 0, seed=0, steps=1, width=4)
    assert fit.identity == pytest.approx(1 / 7 / math.sqrt(12), rel=0.05)
    assert fit.spread == 0


def test_a_staircase_is_learned_and_one_step_is_not_enough() -> None:
    x = pixels(60, 1, 6, 6)
    bad = reparameterise(BitDepth(bits=1), x, radius=RADIUS, seed=0, steps=1, width=16)
    good = reparameterise(BitDepth(bits=1), x, radius=RADIUS, seed=0, steps=250, width=16)
    assert bad.identity == good.identity
    assert bad.identity == pytest.approx(math.sqrt(1 / 12), rel=0.05)
    assert bad.error > 0.8 * bad.identity
    assert good.error < 0.7 * good.identity
    # The reported error is the error: on new points of the same kind, measured here.
    fresh = nearby(pixels(40, 1, 6, 6, seed=9), RADIUS, Stream.create(9, "t", torch.arange(40))).clamp(0, 1)
    truth = (fresh >= 0.5).float()
    with torch.no_grad():
        seen = float((good.network(fresh) - truth).square().mean().sqrt())
    assert seen == pytest.approx(good.error, rel=0.25)
    points = fresh.requires_grad_(True)
    (gradient,) = torch.autograd.grad(good.network(points).sum(), [points])
    assert gradient.isfinite().all()
    assert not any(p.requires_grad for p in good.network.parameters())


def test_a_stage_that_changes_the_channels() -> None:
    x = pixels(60, 2, 5, 7)
    bad, good = (
        reparameterise(Thermometer(levels=3), x, radius=RADIUS, seed=1, steps=steps, width=16) for steps in (1, 200)
    )
    assert good.network(x).shape == (60, 6, 5, 7)
    assert good.identity is None
    assert bad.error > 0.4
    assert good.error < 0.25


@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_a_random_stage_on_anything_flat(shape: tuple[int, ...]) -> None:
    x = pixels(80, *shape)
    radius = torch.full((1,) * x.dim(), 0.1)
    fit = reparameterise(Flip(random=True), x, radius=radius, seed=0, steps=400, width=16)
    assert fit.spread == pytest.approx(1.0, rel=0.05)
    assert fit.identity is not None
    # |x - (1 - x)| for uniform x.
    assert fit.identity == pytest.approx(math.sqrt(1 / 3), rel=0.1)
    assert fit.error < 0.5 * fit.identity


def test_large_images_of_any_size_and_one_sample() -> None:
    fit = reparameterise(ResizePad(), pixels(2, 3, 224, 200), radius=RADIUS, seed=0, steps=2, width=4)
    assert fit.network(pixels(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    assert math.isfinite(fit.error)
    one = reparameterise(Flip(), pixels(1, 1, 3, 3), radius=RADIUS, seed=0, steps=2, width=4)
    assert one.samples == 1


def test_answers_that_are_no_number_teach_nothing_and_show() -> None:
    class Broken(Flip):
        def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
            return torch.where(x > 0.9, torch.nan, x)

    fit = reparameterise(Broken(), pixels(30, 1, 4, 4), radius=RADIUS, seed=0, steps=5, width=4)
    assert math.isnan(fit.error)
    assert fit.network(pixels(3, 1, 4, 4)).isfinite().all()


def test_a_stage_that_changes_the_size() -> None:
    class Shrink(Flip):
        def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
            return x[:, :, ::2, ::2]

    x = pixels(30, 1, 8, 8)
    fit = reparameterise(Shrink(), x, radius=RADIUS, seed=0, steps=5, width=4)
    assert fit.network(x).shape == (30, 1, 4, 4)
    assert fit.identity is None


def test_the_same_again_and_nobody_s_generator_moves() -> None:
    x, radii = pixels(30, 1, 4, 4), torch.full((30, 1, 1, 1), 0.1)
    fits, told = [], []
    for noise, radius in ((1, RADIUS), (2, radii), (3, RADIUS)):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        seed = 8 if noise == 3 else 7
        fits.append(
            reparameterise(
                GaussianNoise(), x, radius=radius, seed=seed, steps=4, width=4, progress=lambda n: told.append(n)
            )
        )
        assert torch.equal(torch.get_rng_state(), before)
    assert sum(told) == 12
    assert torch.equal(fits[0].network(x), fits[1].network(x))
    assert fits[0].error == fits[1].error
    assert not torch.equal(fits[0].network(x), fits[2].network(x))


def test_points_around_the_data_reach_the_corners_and_stay_in_the_ball() -> None:
    n = 600
    x = torch.full((n, 1, 8, 8), 0.5)
    moved = nearby(x, torch.full((n, 1, 1, 1), 0.2), Stream.create(0, "t", torch.arange(n))) - x
    assert moved.abs().max() <= 0.2 + 1e-6
    at_corner = (moved.abs() > 0.2 - 1e-6).flatten(1).all(dim=1)
    # Two kinds of three are signs, half of them at full size.
    assert abs(float(at_corner.float().mean()) - 1 / 3) < 0.08
    blocks = (moved[:, 0, ::2, ::2] == moved[:, 0, 1::2, 1::2]).flatten(1).all(dim=1)
    assert abs(float(blocks.float().mean()) - 1 / 3) < 0.08
    assert abs(float(moved.mean())) < 0.01


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (2, 1), (5, 1), (50, 10), (5000, 200)])
def test_nobody_learns_from_what_is_measured(samples: int, count: int) -> None:
    learned, measured = held_out(samples, 3)
    assert len(measured) == count
    if samples > 1:
        assert sorted([*learned.tolist(), *measured.tolist()]) == list(range(samples))
