"""Square finds what a linear model allows, keeps its budget, and treats every sample alone."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks.bumps import bump
from robcheck.harness.attacks.square import Square, _share, square
from robcheck.harness.attacks.windows import window
from robcheck.harness.target import Problem

Make = Callable[..., Problem]
SHORT = Square(queries=150)


def exact(linear: nn.Module) -> Callable[[Tensor], Tensor]:
    """Linear logits whose bits do not depend on the batch size."""
    weight = linear.weight.double()
    return lambda x: (x.flatten(1).double()[:, None, :] * weight).sum(dim=2).float()


def samples(model: Callable[[Tensor], Tensor], n: int = 8, shape: tuple[int, ...] = (12,)) -> tuple[Tensor, Tensor]:
    # Away from the walls of the box, so that the closed form of the distance holds.
    x = 0.4 + 0.2 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


@pytest.mark.parametrize(("norm", "slack"), [("linf", 1.1), ("l2", 1.5)])
def test_breaks_exactly_what_can_be_broken(norm: str, slack: float, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, 16)
    distance = linear.closest(x, y, norm)
    for factor, expected in ((slack, True), (0.999, False)):
        problem = make_problem(linear, x, y, distance * factor, norm, lower=-9.0, upper=9.0, phase="blackbox")
        points = square(problem, Square(queries=1500))
        assert problem.ball.contains(points).all()
        assert ((linear(points).argmax(dim=1) != y) == expected).all()
        used = problem.target.meter.forward["blackbox"]
        assert (used == 1500).all() if not expected else (used < 1500).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("queries", [1, 2, 3, 70])
def test_no_sample_exceeds_its_budget(norm: str, queries: int, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    problem = make_problem(linear, x, y, 0.001, norm, phase="blackbox")
    square(problem, Square(queries=queries))
    assert (problem.target.meter.forward["blackbox"] == queries).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_neither_order_nor_batch_changes_a_sample(norm: str, linear: nn.Module, make_problem: Make) -> None:
    model = exact(linear)
    x, y = samples(model, 7, (2, 3, 2))
    eps, ids = linear.closest(x, y, norm) * torch.linspace(0.5, 2.5, 7), torch.arange(7)
    whole = square(make_problem(model, x, y, eps, norm, phase="blackbox"), SHORT)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = make_problem(model, x[order], y[order], eps[order], norm, ids=ids[order], phase="blackbox")
    assert torch.equal(square(shuffled, SHORT), whole[order])
    for part in (ids[:1], ids[1:5], ids[5:]):
        problem = make_problem(model, x[part], y[part], eps[part], norm, ids=part, phase="blackbox")
        assert torch.equal(square(problem, SHORT), whole[part])


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("shape", [(1,), (12,), (3, 4), (1, 7, 5), (3, 9, 2), (2, 1, 1)])
def test_any_shape(norm: str, shape: tuple[int, ...], linear: nn.Module, make_problem: Make) -> None:
    model = type(linear)(features=math.prod(shape))
    x = torch.rand(5, *shape)
    y = model(x).argmax(dim=1)
    before, state = x.clone(), torch.get_rng_state()
    problem = make_problem(model, x, y, 0.2, norm, phase="blackbox")
    points = square(problem, SHORT)
    assert problem.ball.contains(points).all()
    # Scores never get worse than at the clean point.
    goal = problem.goal
    assert (goal.score(problem.target.decide(points, 0)) >= goal.score(problem.target.decide(x, 0)) - 1e-6).all()
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_targeted(norm: str, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    targets = (y + 1) % 3
    problem = make_problem(linear, x, y, 9.0, norm, targets=targets, lower=-9.0, upper=9.0, phase="blackbox")
    points = square(problem, Square(queries=1000))
    assert torch.equal(linear(points).argmax(dim=1), targets)


def test_a_start_that_is_wrong_costs_one_query(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    y[2] = (y[2] + 1) % 3
    problem = make_problem(linear, x, y, 0.1, "linf", phase="blackbox")
    assert torch.equal(square(problem, SHORT)[2], x[2])
    assert problem.target.meter.forward["blackbox"][2] == 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_two_classes(norm: str, linear: nn.Module, make_problem: Make) -> None:
    two = type(linear)(classes=2)
    x, y = samples(two)
    eps = 2 * two.closest(x, y, norm)
    problem = make_problem(two, x, y, eps, norm, lower=-9.0, upper=9.0, phase="blackbox")
    assert (two(square(problem, Square(queries=1000))).argmax(dim=1) != y).all()


def test_nan_logits_break_an_untargeted_goal_only(make_problem: Make) -> None:
    def fragile(points: Tensor) -> Tensor:
        return torch.full((len(points), 3), math.nan) + points.flatten(1)[:, :1]

    def fragile_off_the_sample(points: Tensor) -> Tensor:
        clean = (points == 0.5).flatten(1).all(dim=1, keepdim=True)
        return torch.where(clean, torch.tensor([1.0, 0.0, 0.0]), fragile(points))

    x, y = torch.full((3, 5), 0.5), torch.zeros(3, dtype=torch.int64)
    problem = make_problem(fragile_off_the_sample, x, y, 0.1, "linf", phase="blackbox")
    points = square(problem, SHORT)
    assert problem.goal.broken(problem.target.decide(points, 0)).all()
    assert problem.target.meter.forward["blackbox"].max() == 3
    targeted = make_problem(fragile_off_the_sample, x, y, 0.1, "linf", targets=y + 1, phase="blackbox")
    assert torch.equal(square(targeted, SHORT), x)


def test_other_norms_are_refused(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    with pytest.raises(ValueError, match="l0"):
        square(make_problem(linear, x, y, 1.0, "l0"), SHORT)


def test_the_published_schedule() -> None:
    plain, squeezed = Square(), Square(schedule_queries=1000)
    assert [_share(plain, k) for k in (0, 10, 11, 50, 51, 8000, 8001)] == [
        0.8,
        0.8,
        0.4,
        0.4,
        0.2,
        0.8 / 256,
        0.8 / 512,
    ]
    assert _share(squeezed, 600) == _share(plain, 6000)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (1, 784), (4, 196), (784, 1)])
def test_windows_keep_their_area_and_fit(height: int, width: int) -> None:
    for area in (0.3, 1.0, 40.0, 200.0, 784.0):
        h, w = window(area, height, width)
        assert 1 <= h <= height
        assert 1 <= w <= width
        assert abs(h * w - area) <= max(1.0, 0.25 * area)


@pytest.mark.parametrize("split_rows", [True, False])
def test_bumps_have_unit_length_and_two_signs(split_rows: bool) -> None:
    for height, width in ((5, 5), (3, 9), (1, 4), (4, 1)):
        eta = bump(height, width, split_rows=split_rows, device=torch.device("cpu"))
        assert eta.shape == (height, width)
        assert eta.norm() == pytest.approx(1.0)
        assert eta.min() < 0 < eta.max()
