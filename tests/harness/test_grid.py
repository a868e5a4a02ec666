"""The 8-bit grid: points that an image file can hold, inside the ball, and no further away than they have to be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robcheck.harness.execution.coordinates import Coordinates
from robcheck.harness.geometry import NORMS, Norm
from robcheck.harness.grid import ROUNDINGS, Rounding, fitted, in_bounds, inner, nearest, reachable
from robcheck.harness.threat import Ball

RADIUS = {"linf": 0.1, "l2": 0.3, "l1": 1.0, "l0": 6.0}
ALL = torch.arange(256).double() / 255


def images(n: int, *shape: int, seed: int) -> Tensor:
    """Values in [0, 1], some of them exactly on the walls."""
    return (torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.2).clamp(0, 1)


def case(norm: Norm, seed: int, spread: float, *, on: bool) -> tuple[Ball, Tensor]:
    """Six balls from a radius of 0 on, around samples on the grid or off it, and a point of each."""
    x = images(6, 1, 4, 5, seed=seed)
    ball = Ball.create(nearest(x) if on else x, RADIUS[norm] * torch.linspace(0, 2, 6), norm)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    return ball, ball.project(ball.x + spread * noise)


def levels(points: Tensor) -> Tensor:
    """The number of the level of every pixel, if it lies on one."""
    number = points.double() * 255
    assert torch.equal((number.round() / 255).float(), points)
    return number.round()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([1e-3, 0.03, 1.0]))
def test_moved_points_lie_on_the_grid_and_inside(norm: Norm, rounding: Rounding, seed: int, spread: float) -> None:
    ball, points = case(norm, seed, spread, on=True)
    moved = fitted(ball, points, rounding)
    levels(moved)
    assert ball.contains(moved).all()
    # No pixel moves by more than to the next level.
    assert float((moved - points).abs().max()) <= 1 / 255 + 1e-6
    assert torch.equal(fitted(ball, moved, rounding), moved)
    if rounding == "nearest":
        free = nearest(points)
        stays = ball.contains(free)
        assert torch.equal(moved[stays], free[stays])
    if rounding == "toward":
        assert (ball.distances(moved) <= ball.distances(points) + 1e-6).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.01, 0.3]), on=st.booleans())
def test_in_linf_it_is_the_nearest_grid_point_of_the_ball(seed: int, spread: float, on: bool) -> None:
    ball, points = case("linf", seed, spread, on=on)
    moved = fitted(ball, points).double()
    for i in range(1, 6):  # every pixel by itself, against all 256 levels
        x, p = ball.x[i].flatten().double(), points[i].flatten().double()
        allowed = (ALL[:, None] - x).abs() <= float(ball.eps[i]) * (1 + 1e-6) + 1e-7
        best = torch.where(allowed, (ALL[:, None] - p).abs(), torch.inf).amin(dim=0)
        assert torch.allclose((moved[i].flatten() - p).abs(), best, atol=1e-6)
        low, high = (side[i].flatten().double() for side in (inner(ball).lower, inner(ball).upper))
        assert torch.allclose(low, torch.where(allowed, ALL[:, None], torch.inf).amin(dim=0), atol=1e-6)
        assert torch.allclose(high, torch.where(allowed, ALL[:, None], -torch.inf).amax(dim=0), atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_ball_that_holds_no_grid_point_says_so(norm: Norm, seed: int) -> None:
    """Off the grid the sample's own level may be out of reach; what comes back is then not inside."""
    ball, points = case(norm, seed, 0.1, on=False)
    inside = ball.contains(fitted(ball, points))
    reachable_at_all = ball.contains(nearest(ball.x))
    assert torch.equal(inside, reachable_at_all)


def test_small_changes_are_gathered_where_they_count() -> None:
    """A third of a level on every pixel rounds to nothing; rounded away, the ball pays for the strongest of them."""
    x = torch.full((1, 1, 10, 10), 100 / 255)
    push = torch.linspace(0.2, 0.4, 100).reshape(x.shape)
    point = x + push / 255
    ball = Ball.create(x, float((push / 255).norm()) * 1.0001, "l2")
    assert torch.equal(fitted(ball, point), x)
    moved = levels(fitted(ball, point, "away")) - 100
    paid = int(float(push.norm()) ** 2)
    assert moved.sum() == paid
    assert moved.flatten()[-paid:].eq(1).all()


def test_radii_and_bounds() -> None:
    eps = torch.tensor([8 / 255, 0.031, 0.003, 0.0, 1.0])
    assert (reachable(eps, "linf") * 255).tolist() == pytest.approx([8, 7, 0, 0, 255])
    assert torch.equal(reachable(eps, "l2"), eps)
    z = nearest(torch.rand(500, generator=torch.Generator().manual_seed(0)))
    bytes_ = in_bounds(z, torch.tensor(0.0), torch.tensor(255.0))
    assert torch.equal(bytes_, bytes_.round())
    signed = in_bounds(z + 1e-4, torch.tensor(-1.0), torch.tensor(1.0))
    assert torch.equal(signed, (2 * (z.double() * 255).round() / 255 - 1).float())


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_points_are_rounded_on_their_way_to_the_model(bounds: tuple[float, float]) -> None:
    """The slope is that of no rounding, or every attack would stand still."""
    plain = Coordinates.of_bounds(bounds, 2, "cpu")
    stored = Coordinates.of_bounds(bounds, 2, "cpu", grid=True).to("cpu").select(torch.arange(3))
    z = torch.rand(3, 7, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    assert torch.allclose(stored.to_input(z), plain.to_input(nearest(z)), rtol=1e-6, atol=1e-6)
    (slope,) = torch.autograd.grad(stored.to_input(z).sum(), [z])
    assert torch.allclose(slope, torch.full_like(z, bounds[1] - bounds[0]))
    assert torch.allclose(stored.from_input(stored.to_input(z)), nearest(z), atol=1e-6)
