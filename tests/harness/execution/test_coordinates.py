"""From attack space to model input and back: limits are exact, gradients are not lost at the walls."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robcheck.harness.execution.coordinates import Coordinates

BOUNDS = [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (-2.117, 2.64), (-0.3, 0.1), (0.1, 0.7)]


def boxes(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randn(6, 10, generator=generator) * torch.logspace(-3, 3, 10)
    width = torch.rand(6, 10, generator=generator) * torch.logspace(-2, 3, 10)
    width[:, 3] = 0
    return lower, lower + width


@pytest.mark.parametrize("bounds", BOUNDS)
def test_bounds(bounds: tuple[float, float]) -> None:
    coordinates = Coordinates.of_bounds(bounds, 2, "cpu")
    z = torch.rand(50, 8, generator=torch.Generator().manual_seed(0))
    z[:, 0], z[:, 1] = 0.0, 1.0
    x = coordinates.to_input(z)
    low, high = (torch.tensor(v) for v in bounds)
    assert (x >= low).all()
    assert (x <= high).all()
    assert (x[:, 0] == low).all()
    assert torch.allclose(x[:, 1], high)
    assert torch.allclose(coordinates.from_input(x), z, atol=3e-7)
    assert ((coordinates.from_input(x) >= 0) & (coordinates.from_input(x) <= 1)).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_boxes(seed: int) -> None:
    lower, upper = boxes(seed)
    coordinates = Coordinates.of_box(lower, upper)
    z = torch.rand(6, 10, generator=torch.Generator().manual_seed(seed))
    z[:, 5], z[:, 6] = 0.0, 1.0
    x = coordinates.to_input(z)
    assert (x >= lower).all()
    assert (x <= upper).all()
    assert torch.equal(x[:, 3], lower[:, 3])
    back = coordinates.from_input(x)
    assert ((back >= 0) & (back <= 1)).all()
    assert (back[:, 3] == 0).all()
    # As exact as the spacing of float32 at x allows.
    assert ((coordinates.to_input(back) - x).abs() <= 3e-7 * (x.abs() + (upper - lower))).all()
    assert (coordinates.from_input(lower - 1) == 0).all()
    rows = torch.tensor([4, 0, 4])
    assert torch.equal(coordinates.select(rows).to_input(z[rows]), x[rows])


@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_gradient_at_a_wall_is_the_scale(bounds: tuple[float, float]) -> None:
    """Black and white pixels stand at the walls: a gradient that is halved or zero there hides the way back inside."""
    coordinates = Coordinates.of_bounds(bounds, 2, "cpu")
    z = torch.tensor([[0.0, 0.5, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(coordinates.to_input(z).sum(), [z])
    assert gradient.tolist() == [[pytest.approx(bounds[1] - bounds[0], rel=1e-6)] * 3]


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_at_a_wall_of_a_box_is_the_scale(seed: int) -> None:
    lower, upper = boxes(seed)
    coordinates = Coordinates.of_box(lower, upper)
    for wall in (0.0, 1.0):
        z = torch.full((6, 10), wall, requires_grad=True)
        (gradient,) = torch.autograd.grad(coordinates.to_input(z).sum(), [z])
        assert torch.allclose(gradient, upper - lower)


def test_unit_bounds_change_nothing() -> None:
    coordinates = Coordinates.of_bounds((0.0, 1.0), 2, "cpu")
    z = torch.rand(3, 4)
    assert coordinates.identity
    assert coordinates.to_input(z) is z
    assert coordinates.from_input(z) is z
    # One sample of one feature is a box like any other.
    assert Coordinates.of_box(torch.zeros(1, 1), torch.full((1, 1), 2.0)).identity is False
