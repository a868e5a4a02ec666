"""Slopes from values alone against derivatives known in closed form, at the walls of the box too."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robcheck.harness.gradients import Exact, FiniteDifferences, Nes, Spsa
from robcheck.harness.gradients import asking as asking_module
from robcheck.harness.gradients.nes import variance
from robcheck.harness.gradients.questions import LEAST_STEP, estimate, resolve_size
from robcheck.harness.gradients.spec import EstimatorConfig
from robcheck.harness.randomness import Stream

SHAPE = (2, 3, 4)
D = 24
RANDOM = [Nes(directions=4000), Spsa(directions=4000)]
EVERY = [*RANDOM, FiniteDifferences()]
kinds = pytest.mark.parametrize("config", EVERY, ids=lambda c: c.kind)
random_kinds = pytest.mark.parametrize("config", RANDOM, ids=lambda c: c.kind)


def samples(n: int = 3) -> Tensor:
    """A third of the features on each wall, some so close to one that a step is cut in two."""
    x = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0], x[:, 1, 0] = 0.0, 1.0
    x[:, 0, 1], x[:, 1, 1] = 0.004, 0.997
    return x


def slopes(n: int = 3) -> Tensor:
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """w.x per sample, in float64, never outside the box."""

    def ask(points: Tensor) -> Tensor:
        assert points.shape[2:] == SHAPE
        assert bool(((points >= 0) & (points <= 1)).all())
        return (points.double() * weight[:, None].double()).flatten(2).sum(dim=2)

    return ask


def stream(n: int = 3, seed: int = 0) -> Stream:
    return Stream.create(seed, "questions", torch.arange(n))


def found(config: EstimatorConfig, ask: Callable[[Tensor], Tensor], x: Tensor, size: float, seed: int = 0) -> Tensor:
    return estimate(config, ask, x, stream(len(x), seed), torch.full((len(x),), size))


def test_differences_of_a_linear_function_are_its_slopes_everywhere() -> None:
    x, w = samples(), slopes()
    for size in (0.01, 0.3, 2.0):
        assert torch.allclose(found(FiniteDifferences(), linear(w), x, size), w, rtol=1e-5, atol=1e-6)


@random_kinds
@pytest.mark.parametrize("size", [0.01, 0.3])
def test_random_directions_are_unbiased_on_a_linear_function(config: EstimatorConfig, size: float) -> None:
    """The mean over 4,000 directions is within four standard errors, feature by feature, walls included.

    Off a wall the variance of feature i is (|w|^2 + w_i^2) / n for Gaussian directions and (|w|^2 - w_i^2) / n for
    corners; where walls cut the displacements of features by unequal factors, at most 4 times that.
    """
    x, w = samples(), slopes()
    error = found(config, linear(w), x, size) - w
    total = w.flatten(1).square().sum(dim=1).reshape(-1, 1, 1, 1)
    bound = 4 * (4 * (total + w.square()) / 4000).sqrt()
    assert (error.abs() < bound).all()
    # Signs and sizes: neither half nor double at the walls.
    walls = ((x == 0) | (x == 1)).flatten()
    big = w.abs().flatten() > 1
    ratio = (found(config, linear(w), x, size) / w).flatten()[walls & big]
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)


def test_the_squared_error_is_the_stated_one() -> None:
    """(D + 1) / n times the squared slope for Gaussian directions, (D - 1) / n for corners, away from the walls."""
    x, w = torch.full((400, *SHAPE), 0.5), slopes(1).expand(400, *SHAPE)
    for config, factor in ((Nes(directions=10), D + 1), (Spsa(directions=10), D - 1)):
        error = (found(config, linear(w), x, 0.01) - w).flatten(1).square().sum(dim=1)
        assert error.mean() / w[0].square().sum() == pytest.approx(factor / 10, rel=0.1)


@kinds
def test_a_quadratic_away_from_the_walls(config: EstimatorConfig) -> None:
    """Central differences and antithetic pairs cancel the curvature."""
    x, w = 0.45 + 0.1 * samples(), slopes()
    curve = 3 * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(2))

    def ask(points: Tensor) -> Tensor:
        away = (points - 0.5).double()
        return (w[:, None] * away + 0.5 * curve[:, None] * away.square()).flatten(2).sum(dim=2)

    truth = w + curve * (x - 0.5)
    got = found(config, ask, x, 0.05)
    if isinstance(config, FiniteDifferences):
        assert torch.allclose(got, truth, atol=1e-5)
    else:
        assert (got - truth).abs().max() < 4 * truth.flatten(1).norm(dim=1).max() * math.sqrt(2 / 4000)


def test_a_quadratic_at_the_walls_is_off_by_half_a_step_of_its_curvature() -> None:
    x, w = samples(), slopes()

    def ask(points: Tensor) -> Tensor:
        return (w[:, None] * points + 0.5 * 3 * points.double().square()).flatten(2).sum(dim=2)

    error = (found(FiniteDifferences(), ask, x, 0.02) - (w + 3 * x)).abs()
    inside = (x >= 0.02) & (x <= 0.98)
    assert error[inside].max() < 1e-5
    assert error[~inside].max() == pytest.approx(3 * 0.02 / 2, rel=1e-3)


def test_the_variance_of_a_cut_displacement() -> None:
    x = torch.tensor([[0.0, 0.5, 0.93, 1.0, 0.2]])
    for sigma in (0.01, 0.1, 0.7, 8.0):
        u = torch.randn(100_000, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        d = (x + sigma * u).clamp(0, 1) - (x - sigma * u).clamp(0, 1)
        wide = torch.full((1, 1), sigma)
        assert torch.allclose(variance(x, wide).double(), d.square().mean(dim=0)[None], rtol=0.02)
    assert variance(torch.full((1, 1), 0.5), torch.full((1, 1), 1e-3)).item() == pytest.approx(4e-6, rel=1e-5)


@kinds
def test_noise_that_both_ends_share_cancels(config: EstimatorConfig) -> None:
    x, w = samples(), slopes()
    config = config if isinstance(config, FiniteDifferences) else type(config)(directions=7)
    # Powers of two: adding them to sums of multiples of 1/64 rounds nothing.
    x, w = (x * 64).round() / 64, (w * 64).round() / 64
    noise = torch.tensor([1024.0, -65536.0, 0.5])
    ask = linear(w)

    def noisy(points: Tensor) -> Tensor:
        return ask(points) + noise[:, None]

    if isinstance(config, FiniteDifferences):
        assert torch.equal(found(config, noisy, x, 1 / 32), found(config, ask, x, 1 / 32))
        return
    assert torch.allclose(found(config, noisy, x, 0.1), found(config, ask, x, 0.1), rtol=1e-5, atol=1e-5)


def rounded(w: Tensor) -> Callable[[Tensor], Tensor]:
    """A linear function behind 3 bits."""
    ask = linear(w)
    return lambda points: ask((points * 7).round() / 7)


def test_a_step_of_one_quantum_sees_through_three_bits_and_a_short_one_sees_nothing() -> None:
    """x on the levels: each end moves by exactly one. Between them, the sign is right and the size within a factor."""
    w = slopes()
    levels = (samples() * 7).round() / 7
    quantum = 1 / 7
    size = float(resolve_size(FiniteDifferences(), torch.tensor([0.03]), quantum))
    assert size == pytest.approx(quantum)
    assert torch.allclose(found(FiniteDifferences(), rounded(w), levels, size * 1.0001), w, atol=1e-3)
    anywhere = samples()
    got = found(FiniteDifferences(), rounded(w), anywhere, size)
    assert (got.sign() == w.sign()).all()
    assert ((got / w) > 0.4).all()
    assert ((got / w) < 2.1).all()
    assert (found(FiniteDifferences(), rounded(w), levels, 0.01) == 0).all()
    smooth = found(Nes(directions=4000), rounded(w), anywhere, size)
    assert torch.nn.functional.cosine_similarity(smooth.flatten(1), w.flatten(1)).min() > 0.9


def test_sizes() -> None:
    radius = torch.tensor([0.03, 0.3, 0.9])
    assert resolve_size(Nes(), radius, 0.0).tolist() == pytest.approx([0.03, 0.3, 0.5])
    assert resolve_size(FiniteDifferences(), radius, 0.0).tolist() == pytest.approx([0.003, 0.03, 0.09])
    assert resolve_size(Spsa(), radius, 0.0).tolist() == pytest.approx([0.01] * 3)
    assert resolve_size(FiniteDifferences(), 0 * radius, 0.0).tolist() == pytest.approx([LEAST_STEP] * 3)
    for config in (Nes(), Nes(size=0.001), FiniteDifferences(), FiniteDifferences(size=0.02), Spsa()):
        assert (resolve_size(config, radius, 1 / 7) >= torch.tensor(1 / 7)).all()
    assert resolve_size(Nes(size=0.25), radius, 0.1).tolist() == [0.25] * 3
    assert resolve_size(Spsa(), radius, 1.0).tolist() == [1.0] * 3


@kinds
@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_a_hole_does_not_spoil_the_rest(config: EstimatorConfig, hole: float) -> None:
    """Where two features are high the first sample has no value; an infinite one says where to go, a NaN nothing."""
    x, w = 0.3 + 0.4 * samples(2), slopes(2)
    x[:, 1, 2, 2] = 0.5  # for single features to reach the hole
    edge = x[:, None, 1, 2, 2:] + torch.tensor([-0.01, 0.012])
    ask = linear(w)

    def holed(points: Tensor) -> Tensor:
        bad = (points[:, :, 1, 2, 2:] > edge).all(dim=2)
        bad[1] = False
        return torch.where(bad, hole, ask(points))

    got = found(config, holed, x, 0.02)
    assert got.isfinite().all()
    assert torch.equal(got[1], found(config, ask, x, 0.02)[1])
    if math.isnan(hole) or isinstance(config, FiniteDifferences):
        rest = torch.ones(SHAPE, dtype=torch.bool)
        rest[1, 2, 2:] = False
        assert torch.nn.functional.cosine_similarity(got[0][rest], w[0][rest], dim=0) > 0.95
    if not math.isnan(hole):
        assert got[0, 1, 2, 3].sign() == math.copysign(1.0, hole)
    nothing = found(config, lambda points: ask(points) * math.nan, x, 0.02)
    assert (nothing == 0).all()


@kinds
def test_samples_do_not_meet(config: EstimatorConfig) -> None:
    """Neither order nor company changes a gradient, nor how many points are asked about at once."""
    config = config if isinstance(config, FiniteDifferences) else type(config)(directions=500)
    x, w = samples(5), slopes(5)
    size, keys = torch.tensor([0.1, 0.02, 0.3, 0.1, 0.1]), stream(5)

    def run(rows: Tensor) -> Tensor:
        return estimate(config, linear(w[rows]), x[rows], keys.select(rows), size[rows])

    whole = run(torch.arange(5))
    order = torch.tensor([3, 0, 4, 2, 1])
    assert torch.equal(run(order), whole[order])
    assert torch.equal(torch.cat([run(torch.tensor([i])) for i in range(5)]), whole)


@kinds
def test_as_many_questions_as_announced(config: EstimatorConfig) -> None:
    config = config if isinstance(config, FiniteDifferences) else type(config)(directions=333)
    x, w = samples(), slopes()
    asked, ask = 0, linear(w)

    def counted(points: Tensor) -> Tensor:
        nonlocal asked
        asked += points.shape[1]
        return ask(points)

    found(config, counted, x, 0.1)
    assert asked == config.queries(D)


def test_seeds_are_heard_and_differences_draw_nothing() -> None:
    x, w = samples(), slopes()
    for config in (Nes(directions=5), Spsa(directions=5)):
        assert torch.equal(found(config, linear(w), x, 0.1), found(config, linear(w), x, 0.1))
        assert not torch.equal(found(config, linear(w), x, 0.1, 1), found(config, linear(w), x, 0.1))
    assert torch.equal(found(FiniteDifferences(), linear(w), x, 0.1, 1), found(FiniteDifferences(), linear(w), x, 0.1))


def test_backward_passes_are_no_questions() -> None:
    with pytest.raises(TypeError, match="exact"):
        found(Exact(), linear(slopes()), samples(), 0.1)


@pytest.mark.parametrize("config", [FiniteDifferences(), Nes(directions=40), Spsa(directions=40)], ids=lambda c: c.kind)
def test_large_inputs_are_asked_about_in_parts(config: EstimatorConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call holds more points than fit: of 3 x 32 x 32 pixels a few, where all 6,144 would not."""
    limit = 1 << 17
    monkeypatch.setattr(asking_module, "NUMBERS", limit)
    monkeypatch.setattr("robcheck.harness.gradients.finite_differences.NUMBERS", limit)
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    sizes = []

    def ask(points: Tensor) -> Tensor:
        sizes.append(points.numel())
        return points[:, :, 0, 0, 0]

    got = estimate(config, ask, x, stream(1), torch.tensor([0.1]))
    assert max(sizes) <= limit
    assert sum(sizes) == config.queries(x.numel()) * x.numel()
    assert got.shape == x.shape
    if isinstance(config, FiniteDifferences):
        assert got[0, 0, 0, 0] == pytest.approx(1.0)
        assert got.count_nonzero() == 1
