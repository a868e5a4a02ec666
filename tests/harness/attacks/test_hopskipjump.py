"""HopSkipJump finds the known distance of a linear model, keeps its budget, and treats every sample alone."""

import math
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks import boundary
from robcheck.harness.attacks.boundary import Rows, normal, orthonormal
from robcheck.harness.attacks.hopskipjump import HopSkipJump, closest_broken, hopskipjump
from robcheck.harness.target import Problem

Make = Callable[..., Problem]

SHORT = HopSkipJump(queries=400, stop_at_eps=False)
module = sys.modules[HopSkipJump.__module__]


def exact(linear: nn.Module) -> Callable[[Tensor], Tensor]:
    """Linear logits whose bits do not depend on the batch size."""
    weight = linear.weight.double()
    return lambda x: (x.flatten(1).double()[:, None, :] * weight).sum(dim=2).float()


def samples(model: Callable[[Tensor], Tensor], n: int = 6, shape: tuple[int, ...] = (12,)) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_linear_distance_within_five_percent(norm: str, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    problem = make_problem(linear, x, y, 0.0, norm, lower=-20.0, upper=20.0, phase="blackbox", batch=4096)
    points, found = closest_broken(problem, HopSkipJump(queries=20_000, stop_at_eps=False))
    truth = linear.closest(x, y, norm)
    assert (found >= truth * (1 - 1e-4)).all()
    assert (found <= truth * 1.05).all()
    assert (linear(points).argmax(dim=1) != y).all()
    assert problem.target.meter.forward["blackbox"].max() <= 20_000


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("queries", [1, 2, 5, 60, 333])
def test_no_sample_exceeds_its_budget(norm: str, queries: int, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    problem = make_problem(linear, x, y, 0.05, norm, phase="blackbox")
    closest_broken(problem, HopSkipJump(queries=queries, starts=3, stop_at_eps=False))
    assert problem.target.meter.forward["blackbox"].max() <= queries


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("config", [SHORT, HopSkipJump(queries=400, starts=3, stop_at_eps=True)])
def test_neither_order_nor_batch_changes_a_sample(
    norm: str, config: HopSkipJump, linear: nn.Module, make_problem: Make
) -> None:
    x, y = samples(exact(linear), 7, (1, 3, 4))
    ids = torch.arange(7)
    whole = closest_broken(make_problem(exact(linear), x, y, 0.15, norm, phase="blackbox"), config)[0]
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = make_problem(exact(linear), x[order], y[order], 0.15, norm, ids=ids[order], phase="blackbox")
    assert torch.equal(closest_broken(shuffled, config)[0], whole[order])
    for part in (ids[:1], ids[1:5], ids[5:]):
        problem = make_problem(exact(linear), x[part], y[part], 0.15, norm, ids=part, phase="blackbox")
        assert torch.equal(closest_broken(problem, config)[0], whole[part])


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_chunks_change_nothing(
    norm: str, linear: nn.Module, make_problem: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exact(linear)
    x, y = samples(model)
    whole = closest_broken(make_problem(model, x, y, 0.0, norm, phase="blackbox"), SHORT)[0]
    monkeypatch.setattr(boundary, "CHUNK", 12 * 12)
    monkeypatch.setattr(module, "_MEMORY", 16 * 12 * 4)
    assert torch.equal(closest_broken(make_problem(model, x, y, 0.0, norm, phase="blackbox"), SHORT)[0], whole)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_proposals_are_in_the_ball_or_the_sample(norm: str, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, 12)
    distance = linear.closest(x, y, norm)
    eps = distance.median()
    before, state = x.clone(), torch.get_rng_state()
    problem = make_problem(linear, x, y, eps, norm, phase="blackbox")
    points = hopskipjump(problem, HopSkipJump(queries=1500))
    assert problem.ball.contains(points).all()
    broken = linear(points).argmax(dim=1) != y
    assert torch.equal(points[~broken], x[~broken])
    # The box can only push the boundary away.
    assert not broken[distance > eps * 1.0001].any()
    assert broken.sum() >= 4
    used = problem.target.meter.forward["blackbox"]
    assert used[broken.numpy()].mean() < 0.5 * used[~broken.numpy()].mean()
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_targeted(norm: str, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    targets = (y + 1) % 3
    points, found = closest_broken(make_problem(linear, x, y, 0.0, norm, targets=targets, phase="blackbox"), SHORT)
    reached = found.isfinite()
    assert reached.sum() >= 3
    assert torch.equal(linear(points).argmax(dim=1)[reached], targets[reached])
    assert torch.equal(points[~reached], x[~reached])


def test_a_start_that_is_wrong_costs_one_query(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    y[2] = (y[2] + 1) % 3
    problem = make_problem(linear, x, y, 0.1, "l2", phase="blackbox")
    points, found = closest_broken(problem, SHORT)
    assert torch.equal(points[2], x[2])
    assert found[2] == 0
    assert problem.target.meter.forward["blackbox"][2] == 1


def test_two_classes_and_an_unbreakable_model(linear: nn.Module, make_problem: Make) -> None:
    two = type(linear)(classes=2)
    x, y = samples(two, 4)
    _, found = closest_broken(make_problem(two, x, y, 0.0, "l2", phase="blackbox"), SHORT)
    assert found.isfinite().any()

    def constant(points: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(points), 1)

    problem = make_problem(constant, x, torch.zeros(4, dtype=torch.int64), 0.5, "l2", phase="blackbox")
    points, found = closest_broken(problem, SHORT)
    assert torch.equal(points, x)
    assert (found == math.inf).all()
    assert problem.target.meter.forward["blackbox"].max() == 101


def test_nan_logits_break_an_untargeted_goal_only(make_problem: Make) -> None:
    def fragile(points: Tensor) -> Tensor:
        logits = torch.tensor([[1.0, 0.0]]).repeat(len(points), 1)
        return torch.where(points.flatten(1).amax(dim=1, keepdim=True) > 0.9, math.nan, logits)

    x, y = torch.full((3, 5), 0.5), torch.zeros(3, dtype=torch.int64)
    _, found = closest_broken(make_problem(fragile, x, y, 0.0, "linf", phase="blackbox"), SHORT)
    assert ((found > 0.4) & (found < 0.41)).all()
    targeted = make_problem(fragile, x, y, 0.0, "linf", targets=y + 1, phase="blackbox")
    assert (closest_broken(targeted, SHORT)[1] == math.inf).all()


def test_other_norms_are_refused(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    with pytest.raises(ValueError, match="l1"):
        hopskipjump(make_problem(linear, x, y, 0.1, "l1"), SHORT)


def test_an_empty_batch(linear: nn.Module, make_problem: Make) -> None:
    points = hopskipjump(make_problem(linear, torch.rand(0, 12), torch.zeros(0, dtype=torch.int64), 0.1, "l2"), SHORT)
    assert points.shape == (0, 12)


def test_cosines_are_orthonormal() -> None:
    basis = orthonormal(5, 7, 7, torch.device("cpu"))
    assert torch.allclose(basis @ basis.T, torch.eye(7), atol=1e-6)


def test_normal_of_a_plane(linear: nn.Module, make_problem: Make) -> None:
    # A point of the boundary between two classes, far from the third: D orthogonal questions and their mirror images.
    two = type(linear)(features=64, classes=2)
    difference = two.weight[1] - two.weight[0]
    x = torch.rand(8, 64)
    x = x - ((x @ difference + two.bias[1] - two.bias[0]) / difference.square().sum())[:, None] * difference
    problem = make_problem(two, x, torch.zeros(8, dtype=torch.int64), 0.0, "l2", lower=-9.0, upper=9.0)
    found = normal(Rows.of(problem), x, torch.full((8,), 0.1), 256, 1)
    cosine = found @ (difference / difference.norm())
    # Four orthogonal blocks promise sqrt(.875) = .935; as many independent draws .85.
    assert (cosine > 0.9).all()
