"""Balls: what is inside, what is nearest, where random starts fall."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robcheck.harness.geometry import NORMS, Norm
from robcheck.harness.randomness import Stream
from robcheck.harness.threat import Ball

RADIUS = {"linf": 0.1, "l2": 0.6, "l1": 1.5, "l0": 3.0}


def images(n: int, *shape: int, seed: int = 0) -> Tensor:
    """Values in [0, 1], some of them exactly on the walls."""
    return (torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.2).clamp(0, 1)


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.01, 0.3, 5.0, 1e4]))
def test_projected_points_are_contained(norm: Norm, seed: int, spread: float) -> None:
    x = images(8, 2, 5, 4, seed=seed)
    ball = Ball.create(x, RADIUS[norm] * torch.linspace(0, 2, 8), norm)
    far = x + spread * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    near = ball.project(far)
    assert ball.contains(near).all()
    assert torch.allclose(ball.project(near), near, atol=2e-7, rtol=0)
    assert torch.equal(ball.project(x), x)
    assert ball.contains(x).all()
    assert torch.equal(ball.clip(far), far.clamp(0, 1))


@pytest.mark.parametrize("norm", NORMS)
def test_what_is_outside_is_not_contained(norm: Norm) -> None:
    x = images(6, 8) * 0.5 + 0.2
    ball = Ball.create(x, RADIUS[norm], norm)
    edge = ball.project(x + 3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3)))
    beyond = x + (edge - x) * 1.001
    if norm == "l0":
        beyond = edge.clone()
        beyond[:, :4] += 0.01
        beyond[:, 4:] -= 0.01
    assert not ball.contains(beyond).any()
    assert not ball.contains(torch.full_like(x, float("nan"))).any()
    assert not ball.contains(torch.full_like(x, float("inf"))).any()
    single = x.clone()
    single[2, 3] = float("nan")
    assert ball.contains(single).tolist() == [True, True, False, True, True, True]


def test_the_box_is_exact() -> None:
    x = torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    ball = Ball.create(x, 1.0, "linf")
    above = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    assert ball.contains(torch.tensor([[1.0, 1.0], [0.0, 0.0]])).all()
    assert ball.contains(
        torch.stack([torch.stack([above, above * 0.5]), torch.tensor([-1e-30, 0.5])])
    ).any().item() is (False)


@pytest.mark.parametrize("norm", NORMS)
def test_select_and_fold_keep_samples_and_radii_together(norm: Norm) -> None:
    x, eps = images(5, 3), torch.arange(5.0)
    ball = Ball(x, eps, x - 1, x + 1, norm)
    some = ball.select(torch.tensor([4, 1, 1]))
    assert some.eps.tolist() == [4.0, 1.0, 1.0]
    assert torch.equal(some.x, x[[4, 1, 1]])
    assert torch.equal(some.lower, x[[4, 1, 1]] - 1)
    assert ball.fold(2).eps.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    shared = Ball.create(x, 0.5, norm)
    assert len(shared.select(torch.tensor([2, 0])).lower) == 1


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_lie_inside_and_spread(norm: Norm) -> None:
    x = images(200, 12)
    ball = Ball.create(x, RADIUS[norm], norm)
    stream = Stream.create(0, "start", torch.arange(200))
    start = ball.random_start(stream, 0)
    assert ball.contains(start).all()
    assert torch.equal(start, ball.random_start(stream, 0))
    assert not torch.equal(start, ball.random_start(stream, 1))
    moved = (start != x).flatten(1).any(dim=1)
    assert moved.float().mean() > 0.95
    assert torch.equal(ball.select(torch.tensor([7])).random_start(stream.select(torch.tensor([7])), 0), start[7:8])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_are_uniform_where_no_wall_is_near(norm: Norm) -> None:
    n, d = 4000, 3
    x = torch.full((n, d), 0.5)
    offset = Ball.create(x, 0.2, norm).random_start(Stream.create(1, "u", torch.arange(n)), 0) - x
    if norm == "linf":
        share = (offset + 0.2) / 0.4
        assert (share.mean(dim=0) - 0.5).abs().max() < 4 * (1 / 12 / n) ** 0.5
        return
    # Uniform in a ball: (|d| / eps) ** D is uniform in [0, 1].
    share = (offset.norm(dim=1) / 0.2) ** d
    assert abs(float(share.mean()) - 0.5) < 4 * (1 / 12 / n) ** 0.5
    assert abs(float((share < 0.25).float().mean()) - 0.25) < 4 * (0.1875 / n) ** 0.5


def test_l0_start_changes_as_many_features_as_allowed() -> None:
    x = torch.full((50, 10), 0.5)
    for radius, count in ((0.0, 0), (1.0, 1), (4.0, 4), (30.0, 10)):
        start = Ball.create(x, radius, "l0").random_start(Stream.create(0, "s", torch.arange(50)), 0)
        assert ((start != x).sum(dim=1) == count).all()


@pytest.mark.parametrize(("norm", "eps"), [("l1", 0.5), ("l1", 12.0), ("l2", 0.5)])
def test_what_the_ball_itself_makes_is_contained_at_the_size_of_photographs(norm: Norm, eps: float) -> None:
    """Rounding of x + delta adds up over 150,528 features; a point of `project` must never count as invalid."""
    x = torch.rand(10, 3, 224, 224, generator=torch.Generator().manual_seed(5))
    ball = Ball.create(x, eps, norm)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(6))
    assert ball.contains(ball.project(x + 0.1 * noise)).all()
    for step in range(3):
        assert ball.contains(ball.random_start(Stream.create(0, "big", torch.arange(10)), step)).all()


@pytest.mark.parametrize(("norm", "eps"), [("l1", 3.0), ("l2", 0.5)])
def test_equal_rounding_everywhere_is_contained(norm: Norm, eps: float) -> None:
    """A flat image and a flat change: every feature rounds the same way."""
    x = torch.full((3, 3, 96, 96), 0.7) + torch.tensor([0.0, 0.01, 0.123])[:, None, None, None]
    ball = Ball.create(x, eps, norm)
    assert ball.contains(ball.project(x + 0.3)).all()
    assert ball.contains(ball.project(x - 0.3)).all()
