"""Every stage against a computation of somebody else, or by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage, optimize, stats
from torch import Tensor
from torch.nn import functional

from robcheck.harness.defenses.bit_depth import BitDepth
from robcheck.harness.defenses.gaussian_noise import GaussianNoise
from robcheck.harness.defenses.jpeg import Jpeg
from robcheck.harness.defenses.median import Median
from robcheck.harness.defenses.random_crop import RandomCrop
from robcheck.harness.defenses.thermometer import Thermometer
from robcheck.harness.defenses.total_variation import TotalVariation
from robcheck.harness.randomness import Stream
from robcheck.harness.stage import quantum


def stream(n: int, seed: int = 0) -> Stream:
    return Stream.create(seed, "truth", torch.arange(n))


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("bits", "pixel", "expected"),
    [
        (1, 0.49, 0.0),
        (1, 0.51, 1.0),
        (3, 0.07, 0.0),
        (3, 0.072, 1 / 7),
        (3, 0.5 + 1e-6, 4 / 7),
        (3, 0.93, 1.0),
        (8, 0.5, 128 / 255),
        (3, 1.0, 1.0),
    ],
)
def test_bit_depth(bits: int, pixel: float, expected: float) -> None:
    y = BitDepth(bits=bits).forward(torch.full((1, 1, 1, 1), pixel), stream(1))
    assert y.item() == pytest.approx(expected, abs=1e-7)


def test_one_quantum_always_shows() -> None:
    for stage in (BitDepth(bits=3), Thermometer(levels=9)):
        step = quantum(stage)
        x = torch.linspace(0, 1 - step - 1e-6, 1001)[None, None, None]
        moved = stage.forward(x + step + 1e-6, stream(1)) != stage.forward(x, stream(1))
        assert moved.any(dim=1).all()
        less = stage.forward(x + step / 2, stream(1)) != stage.forward(x, stream(1))
        assert not less.any(dim=1).all()
    grey, jpeg = torch.full((1, 1, 8, 8), 100 / 255), Jpeg(quality=100)
    assert torch.equal(jpeg.forward(grey + 0.4 * quantum(jpeg), stream(1)), jpeg.forward(grey, stream(1)))
    assert not torch.equal(jpeg.forward(grey + quantum(jpeg), stream(1)), jpeg.forward(grey, stream(1)))


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (1, 6), (5, 3)])
def test_median_is_scipys(size: int, shape: tuple[int, int]) -> None:
    x = images(3, 2, *shape)
    expected = ndimage.median_filter(x.numpy(), size=(1, 1, size, size), mode="reflect")
    assert torch.equal(Median(size=size).forward(x, stream(3)), torch.from_numpy(expected))


def test_median_gives_the_gradient_to_the_middle_pixel() -> None:
    x = (torch.tensor([[9, 1, 2], [3, 5, 4], [6, 8, 7]]) / 10)[None, None].requires_grad_()
    (gradient,) = torch.autograd.grad(Median().forward(x, stream(1))[0, 0, 1, 1], [x])
    assert gradient.nonzero().tolist() == [[0, 0, 1, 1]]
    assert gradient.sum() == 1
    flat = torch.zeros(1, 1, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(Median().forward(flat, stream(1))[0, 0, 1, 1], [flat])
    assert torch.allclose(gradient, torch.full_like(flat, 1 / 9))


def smallest_objective(stage: TotalVariation, x: Tensor, draws: Stream) -> tuple[float, Tensor]:
    """By scipy's L-BFGS, from the pixels themselves."""

    def ask(flat: np.ndarray) -> tuple[float, np.ndarray]:
        z = torch.from_numpy(flat).reshape(x.shape).requires_grad_()
        value = stage.objective(z, x, draws).sum()
        return float(value.detach()), torch.autograd.grad(value, [z])[0].flatten().numpy()

    options = {"maxiter": 3000, "maxfun": 6000, "ftol": 1e-15, "gtol": 1e-10}
    found = optimize.minimize(ask, x.flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return float(found.fun), torch.from_numpy(found.x).reshape(x.shape)


def test_total_variation_reaches_the_minimum() -> None:
    """Of the smoothed objective; it falls with every step."""
    x = functional.interpolate(images(1, 1, 5, 5), (12, 10), mode="bilinear")
    best, image = smallest_objective(TotalVariation(), x, stream(1))
    values = []
    for steps in (1, 2, 5, 10, 30, 100, 400):
        stage = TotalVariation(steps=steps)
        y = stage.forward(x, stream(1))
        values.append(float(stage.objective(y, x, stream(1)).sum()))
    assert values == sorted(values, reverse=True)
    assert best * 0.999999 < values[-1] < best * 1.001
    assert values[4] < best * 1.02
    assert (y - image).abs().max() < 0.02
    assert best < float(stage.objective(x, x, stream(1)).sum())


@pytest.mark.parametrize(("keep", "weight"), [(0.02, 5.0), (0.5, 0.03), (0.9, 50.0)])
def test_total_variation_falls_with_every_step(keep: float, weight: float) -> None:
    x = (images(20, 1, 7, 7, seed=2) > 0.5).double()
    values = []
    for steps in range(1, 25):
        stage = TotalVariation(keep=keep, weight=weight, steps=steps)
        values.append(stage.objective(stage.forward(x, stream(20)), x, stream(20)))
    falls = torch.stack(values).diff(dim=0)
    assert (falls <= 1e-12).all()
    assert (falls[0] < -1e-6).float().mean() > 0.5


def test_total_variation_by_hand() -> None:
    """Rows (0, 0), (3, 4) and columns (0, 3), (0, 4) differ by vectors of length 5 each."""
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)[None, None]
    stage = TotalVariation(weight=0.5)
    columns = np.hypot(0, 1)
    assert float(stage.objective(z, z, stream(1))) == pytest.approx(0.5 * (5 + columns), rel=1e-4)


def test_total_variation_looks_at_kept_pixels_only() -> None:
    stage, x = TotalVariation(keep=0.6), images(1, 2, 6, 5)
    y = stage.forward(x, stream(1))
    seen = torch.zeros_like(x)
    for place in np.ndindex(*x.shape):
        other = x.clone()
        other[place] = 1 - other[place]
        seen[place] = float(not torch.equal(stage.forward(other, stream(1)), y))
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    assert 0.3 < seen.mean() < 0.85
    kept = TotalVariation(keep=0.5)._kept(torch.zeros(400, 1, 5, 5), stream(400)).mean()
    assert kept == pytest.approx(0.5, abs=0.02)


def test_random_crop_is_an_interpolated_window() -> None:
    """Every output is one of all possible windows, enlarged by torch's own interpolation."""
    n, height, width, smallest = 40, 9, 6, 0.5
    x = images(1, 2, height, width).repeat(n, 1, 1, 1)
    y = RandomCrop(smallest=smallest).forward(x, stream(n))
    used = set()
    for row in y:
        fits = []
        for tall in range(round(smallest * height), height + 1):
            for wide in range(round(smallest * width), width + 1):
                for top in range(height - tall + 1):
                    for left in range(width - wide + 1):
                        cut = x[:1, :, top : top + tall, left : left + wide]
                        whole = functional.interpolate(cut, (height, width), mode="bilinear", align_corners=False)
                        if torch.allclose(whole[0], row, atol=1e-9):
                            fits.append((tall, wide, top, left))
        assert len(fits) == 1
        used.add(fits[0])
    assert len(used) > 15


def test_random_crop_reaches_every_side_equally() -> None:
    """The height of a window, from how steep a ramp comes out."""
    n = 4000
    ramp = torch.arange(100, dtype=torch.float64)[:, None].expand(100, 3)[None, None].repeat(n, 1, 1, 1) / 100
    y = RandomCrop(smallest=0.9).forward(ramp, Stream.create(0, "many", torch.arange(n)))
    slope = y[:, 0, 51, 0] - y[:, 0, 50, 0]
    sides = (slope * 100 * 100).round().long()
    counts = torch.bincount(sides, minlength=101)[90:]
    assert counts.sum() == n
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_gaussian_noise_is_gaussian() -> None:
    x = torch.full((50, 1, 20, 20), 0.5)
    noise = (GaussianNoise(sigma=0.3).forward(x, stream(50)) - x).double()
    assert stats.kstest(noise.flatten().numpy() / 0.3, "norm").pvalue > 1e-3
    assert noise.min() < -0.6
    assert abs(float(torch.corrcoef(noise.flatten(1)[:2])[0, 1])) < 0.2


def test_thermometer_by_hand() -> None:
    x = torch.tensor([0.0, 0.24, 0.25, 0.5, 0.74, 0.75, 1.0]).reshape(1, 1, 1, 7).repeat(1, 2, 1, 1)
    x[:, 1] = 0.5
    y = Thermometer(levels=4).forward(x, stream(1))
    assert y.shape == (1, 8, 1, 7)
    expected = [[1] * 7, [0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]]
    assert y[0, :4, 0].tolist() == expected
    assert y[0, 4:, 0, 0].tolist() == [1, 1, 1, 0]


def test_thermometer_ramps_by_hand() -> None:
    x = torch.tensor([0.0, 0.125, 0.25, 0.375, 0.5, 1.0]).reshape(1, 1, 1, 6).requires_grad_()
    ramps = Thermometer(levels=4).replacement(x, stream(1))
    assert ramps[0, :, 0].tolist() == [
        [0.5, 0.75, 1, 1, 1, 1],
        [0, 0.25, 0.5, 0.75, 1, 1],
        [0, 0, 0, 0.25, 0.5, 1],
        [0, 0, 0, 0, 0, 1],
    ]
    (gradient,) = torch.autograd.grad(ramps[0, 1].sum(), [x])
    assert gradient[0, 0, 0, 1:4].tolist() == [2, 2, 2]
    assert gradient[0, 0, 0, 5] == 0
