"""Projections against slow oracles, ascent directions against every other direction."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from torch import Tensor

from robcheck.harness.geometry import NORMS, Norm, distances, norms, project, steepest

FEW = settings(max_examples=40, deadline=None)
SIZES = st.floats(-4, 4, width=32, allow_subnormal=False)


@st.composite
def cases(draw: st.DrawFn, features: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Delta (1, D), radius (1,), low and high (1, D) around 0; walls at 0 and boxes without width included."""
    n = draw(st.integers(1, features))
    walls = st.one_of(st.just(0.0), st.floats(2**-20, 2, width=32))
    delta = torch.tensor([[draw(SIZES) for _ in range(n)]])
    low = -torch.tensor([[draw(walls) for _ in range(n)]])
    high = torch.tensor([[draw(walls) for _ in range(n)]])
    eps = torch.tensor([draw(st.one_of(st.just(0.0), st.floats(2**-20, 5, width=32)))])
    return delta, eps, low, high


def inside(points: Tensor, eps: Tensor, low: Tensor, high: Tensor, norm: Norm) -> Tensor:
    in_box = ((points >= low) & (points <= high)).all(dim=1)
    return in_box & (norms(points.double(), norm) <= eps.double() * (1 + 1e-6) + 1e-7)


def oracle(delta: Tensor, eps: Tensor, low: Tensor, high: Tensor, norm: Norm) -> Tensor:
    """The projection of one row, by root finding on the dual or, for L0, by trying every set of features; float64."""
    d, a, b, r = delta[0].double(), low[0].double(), high[0].double(), float(eps[0])
    clipped = d.clamp(a, b)
    if norm == "linf":
        return d.clamp(a.clamp(min=-r), b.clamp(max=r))[None]
    if norm == "l0":
        options = [torch.zeros_like(d)]
        for kept in itertools.chain.from_iterable(
            itertools.combinations(range(len(d)), k) for k in range(1, min(int(r), len(d)) + 1)
        ):
            point = torch.zeros_like(d)
            point[list(kept)] = clipped[list(kept)]
            options.append(point)
        return min(options, key=lambda p: float((p - d).square().sum()))[None]

    def at(multiplier: float) -> Tensor:
        if norm == "l2":
            return (d / (1 + multiplier)).clamp(a, b)
        return ((d.abs() - multiplier).clamp(min=0) * d.sign()).clamp(a, b)

    def over(multiplier: float) -> float:
        return float(norms(at(multiplier)[None], norm)[0]) - r

    if over(0.0) <= 0:
        return at(0.0)[None]
    if r == 0:
        return torch.zeros_like(d)[None]
    top = 1.0
    while over(top) > 0:
        top *= 2
    return at(optimize.brentq(over, 0.0, top, xtol=1e-14, rtol=1e-14))[None]


@pytest.mark.parametrize("norm", NORMS)
@FEW
@given(case=cases())
def test_projection_is_the_nearest_point(norm: Norm, case: tuple[Tensor, ...]) -> None:
    delta, eps, low, high = case
    got, best = project(delta, eps, low, high, norm), oracle(delta, eps, low, high, norm)
    assert inside(got, eps, low, high, norm).all()
    ours, theirs = (float((p.double() - delta.double()).norm()) for p in (got, best))
    assert ours <= theirs + 1e-5
    if norm != "l0":  # two sets of features may cost the same
        # A wall within float32 rounding of the sphere leaves a direction that costs nothing.
        assert torch.allclose(got.double(), best, atol=5e-4)


@pytest.mark.parametrize("norm", NORMS)
@FEW
@given(case=cases(), seed=st.integers(0, 10**6))
def test_no_feasible_point_is_nearer(norm: Norm, case: tuple[Tensor, ...], seed: int) -> None:
    delta, eps, low, high = case
    got = project(delta, eps, low, high, norm)
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(400, delta.shape[1], generator=generator) * torch.rand(400, 1, generator=generator) * 3
    rivals = project(raw, eps.expand(400), low.expand(400, -1), high.expand(400, -1), norm)
    rivals = torch.cat([rivals, torch.lerp(rivals, got.expand_as(rivals), 0.9)])
    rivals = rivals[inside(rivals, eps, low, high, norm)]
    nearest = (rivals - delta).norm(dim=1).min()
    assert float((got - delta).norm()) <= float(nearest) + 1e-5


@pytest.mark.parametrize("norm", NORMS)
@FEW
@given(case=cases())
def test_projection_keeps_what_is_inside(norm: Norm, case: tuple[Tensor, ...]) -> None:
    delta, eps, low, high = case
    once = project(delta, eps, low, high, norm)
    assert torch.allclose(project(once, eps, low, high, norm), once, atol=1e-6, rtol=0)
    half = 0.5 * once if norm != "l0" else once
    assert torch.allclose(project(half, eps, low, high, norm), half, atol=1e-30, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_rows_do_not_mix(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(64, 3, 4, generator=generator) * torch.logspace(-2, 2, 64)[:, None, None]
    low, high = -torch.rand(64, 3, 4, generator=generator), torch.rand(64, 3, 4, generator=generator)
    eps = torch.linspace(0, 4, 64)
    together = project(delta, eps, low, high, norm)
    alone = [project(delta[i : i + 1], eps[i : i + 1], low[i : i + 1], high[i : i + 1], norm) for i in range(64)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6, rtol=0)
    assert inside(together.flatten(1), eps, low.flatten(1), high.flatten(1), norm).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
def test_huge_deltas(norm: Norm, size: float) -> None:
    generator = torch.Generator().manual_seed(1)
    delta = size * torch.randn(20, 5, generator=generator)
    low, high = -torch.rand(20, 5, generator=generator), torch.rand(20, 5, generator=generator)
    eps = torch.full((20,), {"linf": 0.3, "l2": 0.7, "l1": 0.9, "l0": 2.0}[norm])
    got = project(delta, eps, low, high, norm)
    assert inside(got, eps, low, high, norm).all()
    for i in range(20):
        one = (delta[i : i + 1], eps[i : i + 1], low[i : i + 1], high[i : i + 1])
        best = oracle(*one, norm)
        # The distances are as huge as the deltas: compare the kept features, whose gains are far apart here.
        assert torch.allclose(got[i : i + 1].double(), best, atol=2e-3)


@pytest.mark.parametrize("norm", NORMS)
def test_radius_zero_and_box_without_width_leave_nothing(norm: Norm) -> None:
    delta, wide, none = torch.randn(5, 4), torch.ones(5, 4), torch.zeros(5, 4)
    assert (project(delta, torch.zeros(5), -wide, wide, norm) == 0).all()
    assert (project(delta, torch.full((5,), 3.0), none, none, norm) == 0).all()


def test_l0_radius_counts_whole_features() -> None:
    delta = torch.tensor([[3.0, -2.0, 1.0]])
    low, high = torch.full((1, 3), -9.0), torch.full((1, 3), 9.0)
    for radius, kept in ((0.9, 0), (1.0, 1), (1.99, 1), (2.0, 2), (7.0, 3)):
        assert int((project(delta, torch.tensor([radius]), low, high, "l0") != 0).sum()) == kept
    # The biggest change is worth little where the box stops it.
    high[0, 0] = 0.1
    assert project(delta, torch.tensor([1.0]), low, high, "l0").tolist() == [[0.0, -2.0, 0.0]]


@pytest.mark.parametrize(("norm", "expected"), [("linf", 4.0), ("l2", 5.0), ("l1", 7.0), ("l0", 2.0)])
def test_norms_and_distances(norm: Norm, expected: float) -> None:
    delta = torch.tensor([[[3.0, 0.0], [-4.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert norms(delta, norm).tolist() == [expected, 0.0]
    base = torch.full((2, 2, 2), 0.5)
    measured = distances(base + delta, base, norm)
    assert measured.dtype == torch.float64
    assert measured.tolist() == [expected, 0.0]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@FEW
@given(values=st.lists(SIZES, min_size=1, max_size=8), seed=st.integers(0, 10**6))
def test_steepest_climbs_most(norm: Norm, values: list[float], seed: int) -> None:
    gradient = torch.tensor([values])
    step = steepest(gradient, norm)
    assert float(norms(step.double(), norm)[0]) <= 1 + 1e-6
    dual = {"linf": "l1", "l2": "l2", "l1": "linf"}[norm]
    most = float(norms(gradient.double(), dual)[0])
    assert float((step.double() * gradient.double()).sum()) == pytest.approx(most, rel=1e-5, abs=1e-12)
    raw = torch.randn(200, len(values), generator=torch.Generator().manual_seed(seed))
    rivals = raw / norms(raw, norm)[:, None].clamp(min=1e-9)
    assert float((rivals.double() * gradient.double()).sum(dim=1).max()) <= most + 1e-5


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-15, 1e-30, 1e15, 1e30])
def test_direction_does_not_depend_on_the_size_of_the_gradient(norm: Norm, scale: float) -> None:
    """A saturated softmax leaves gradients of 1e-15 and less: the step must be as long as any other."""
    gradient = torch.tensor([[1.0, -2.0, 0.5, 0.25]])
    assert torch.allclose(steepest(gradient * scale, norm), steepest(gradient, norm), atol=1e-5)


def test_steepest_moves_as_many_features_as_asked() -> None:
    gradient = torch.tensor([[0.1, -3.0, 2.0, 0.5], [4.0, 1.0, -2.0, 3.0]])
    sparsity = torch.tensor([2.0, 3.0])
    assert steepest(gradient, "l1", sparsity).tolist() == [
        [0.0, -0.5, 0.5, 0.0],
        [pytest.approx(1 / 3), 0.0, pytest.approx(-1 / 3), pytest.approx(1 / 3)],
    ]
    assert (steepest(torch.zeros(2, 4), "l2") == 0).all()
