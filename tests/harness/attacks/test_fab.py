"""The projections are the smallest that an oracle finds; FAB finds what a linear model allows, and nothing more."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, lsq_linear
from torch import Tensor, nn

from robcheck.harness.attacks.fab import FAB, closest_fab, fab
from robcheck.harness.attacks.hyperplane import project_hyperplane
from robcheck.harness.geometry import norms
from robcheck.harness.target import Problem

Make = Callable[..., Problem]
NORMS = ["linf", "l2", "l1"]
SHORT = FAB(steps=10, targets=2)


def smallest(x: np.ndarray, w: np.ndarray, b: float, norm: str) -> float | None:
    """The size of the smallest delta with w.(x + delta) + b = 0 and 0 <= x + delta <= 1, None without any."""
    n, gap = len(x), float(w @ x + b)
    if norm == "l2":
        # A heavy equation stands in for the constraint.
        heavy = 1e4
        rows = np.vstack([np.eye(n), heavy * w])
        limits = (-x - 1e-12, 1 - x + 1e-12)
        found = lsq_linear(rows, np.append(np.zeros(n), -heavy * gap), bounds=limits, tol=1e-14).x
        return float(np.linalg.norm(found)) if abs(w @ found + gap) < 1e-5 else None
    # delta = p - q, p and q at least 0; the last variable bounds every p + q (linf).
    eye = np.eye(n)
    cost = np.append(np.zeros(2 * n), 1.0) if norm == "linf" else np.append(np.ones(2 * n), 0.0)
    rows = np.hstack([eye, eye, -np.ones((n, 1))]) if norm == "linf" else None
    bounds = [(0, 1 - v) for v in x] + [(0, v) for v in x] + [(0, None)]
    found = linprog(
        cost,
        A_ub=rows,
        b_ub=None if rows is None else np.zeros(n),
        A_eq=np.concatenate([w, -w, [0.0]])[None],
        b_eq=[-gap],
        bounds=bounds,
    )
    return float(found.fun) if found.status == 0 else None


def instances(seed: int, n: int = 24, features: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Points with features on both walls, normals with zeros, gaps from tiny to out of reach."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(n, features, generator=generator, dtype=torch.float64) * 1.6 - 0.3).clamp(0, 1)
    w = torch.randn(n, features, generator=generator, dtype=torch.float64)
    w[torch.rand(n, features, generator=generator) < 0.15] = 0
    gap = torch.randn(n, generator=generator, dtype=torch.float64) * torch.logspace(-3, 1, n, dtype=torch.float64)
    return x, w, gap - (w * x).sum(dim=1)


@pytest.mark.parametrize("norm", NORMS)
def test_projections_are_the_smallest_there_are(norm: str) -> None:
    x, w, b = instances(3)
    delta = project_hyperplane(x, w, b, torch.zeros(1, 1), torch.ones(1, 1), norm)
    assert ((x + delta >= -1e-12) & (x + delta <= 1 + 1e-12)).all()
    sizes, reached = norms(delta, norm), 0
    for i in range(len(x)):
        best = smallest(x[i].numpy(), w[i].numpy(), float(b[i]), norm)
        if best is not None:
            reached += 1
            assert abs(float(w[i] @ (x[i] + delta[i]) + b[i])) < 1e-9
            assert float(sizes[i]) == pytest.approx(best, abs=1e-5)
            continue
        # Out of reach: the closest corner, with the features that do not count left alone.
        inward = w[i] * torch.sign(w[i] @ x[i] + b[i])
        corner = torch.where(inward > 0, 0.0, 1.0).to(x.dtype)
        assert torch.allclose(x[i] + delta[i], torch.where(w[i] == 0, x[i], corner), atol=1e-12)
    assert 10 < reached < len(x)


@pytest.mark.parametrize("norm", NORMS)
def test_projections_of_many_features_end_on_the_plane(norm: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(5, 2, 20, 15, generator=generator)
    w = torch.randn(5, 2, 20, 15, generator=generator)
    lower, upper = x - 0.1 * torch.rand(5, 2, 20, 15), x + 0.2
    # Nine tenths of what the box allows: in L1 more features move than are looked at first.
    least = torch.where(w > 0, lower, upper)
    b = -(w * (0.1 * x + 0.9 * least)).flatten(1).sum(dim=1)
    delta = project_hyperplane(x, w, b, lower, upper, norm)
    assert delta.shape == x.shape
    assert delta.dtype == x.dtype
    assert ((w * (x + delta)).flatten(1).sum(dim=1) + b).abs().max() < 1e-3
    assert ((x + delta >= lower - 1e-6) & (x + delta <= upper + 1e-6)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_plane_without_normal_moves_nothing(norm: str) -> None:
    x = torch.rand(2, 4)
    box = torch.zeros(1, 1), torch.ones(1, 1)
    assert torch.equal(project_hyperplane(x, torch.zeros(2, 4), torch.ones(2), *box, norm), torch.zeros(2, 4))
    w = torch.randn(2, 4)
    assert project_hyperplane(x, w, -(w * x).sum(dim=1), *box, norm).abs().max() < 1e-6


def test_other_norms_are_refused(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    with pytest.raises(ValueError, match="l0"):
        fab(make_problem(linear, x, y, 1.0, "l0"), SHORT)


def exact(linear: nn.Module) -> Callable[[Tensor], Tensor]:
    """Linear logits whose bits do not depend on the batch size."""
    weight = linear.weight.double()
    return lambda x: (x.flatten(1).double()[:, None, :] * weight).sum(dim=2).float()


def samples(model: Callable[[Tensor], Tensor], n: int = 8, shape: tuple[int, ...] = (12,)) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


@pytest.mark.parametrize("norm", NORMS)
def test_finds_the_closest_break_of_a_linear_model(norm: str, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, 32)
    truth = linear.closest(x, y, norm).double()
    problem = make_problem(linear, x, y, 1e-3, norm, lower=-9.0, upper=9.0)
    points, distance = closest_fab(problem, SHORT)
    assert (linear(points).argmax(dim=1) != y).all()
    assert torch.equal(problem.ball.distances(points), distance)
    assert ((distance >= truth * (1 - 1e-5)) & (distance <= truth * 1.01)).all()


def test_comes_back_from_far_behind_a_curved_boundary(make_problem: Make) -> None:
    def ball(points: Tensor) -> Tensor:
        size = (points - 0.5).square().sum(dim=1)
        return torch.stack([torch.full_like(size, 0.16), size], dim=1)

    # Near the centre the gradient is small, so the first plane lies far outside the true radius of 0.4.
    x = 0.5 + 0.02 * torch.randn(6, 12, generator=torch.Generator().manual_seed(0))
    truth = 0.4 - (x - 0.5).norm(dim=1)
    problem = make_problem(ball, x, torch.zeros(6, dtype=torch.int64), 1.05 * truth, "l2")
    for steps, slack in ((5, 1.05), (40, 1.02)):
        _, distance = closest_fab(problem, FAB(steps=steps))
        assert ((distance >= truth * (1 - 1e-5)) & (distance <= truth * slack)).all()
    assert problem.goal.broken(problem.target.decide(fab(problem, FAB(steps=5)), 0)).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("config", [SHORT, FAB(steps=10, targets=2, stop_at_eps=False)])
def test_breaks_exactly_what_can_be_broken(norm: str, config: FAB, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, 16)
    truth = linear.closest(x, y, norm)
    for factor, expected in ((1.01, True), (0.99, False)):
        problem = make_problem(linear, x, y, truth * factor, norm, lower=-9.0, upper=9.0)
        points = fab(problem, config)
        assert problem.ball.contains(points).all()
        assert ((linear(points).argmax(dim=1) != y) == expected).all()
        assert expected or torch.equal(points, x)
        # One question per step, one forward pass for the last point of a class and one for the order of the classes.
        forward, backward = (getattr(problem.target.meter, f)["gradient"] for f in ("forward", "backward"))
        assert (backward <= 20).all()
        assert (forward <= 23).all()
        ended = config.stop_at_eps and expected
        assert (backward < 10).all() if ended else (backward == 20).all()


@pytest.mark.parametrize("norm", NORMS)
def test_stays_in_the_box(norm: str, linear: nn.Module, make_problem: Make) -> None:
    x = torch.rand(24, 3, 2, 2, generator=torch.Generator().manual_seed(2)).round(decimals=1)
    y = linear(x).argmax(dim=1)
    before, state = x.clone(), torch.get_rng_state()
    problem = make_problem(linear, x, y, {"linf": 0.3, "l2": 1.0, "l1": 2.0}[norm], norm)
    points, distance = closest_fab(problem, SHORT)
    assert problem.ball.with_eps(torch.full((24,), 99.0)).contains(points).all()
    # A box can only add to the distance.
    assert (distance >= linear.closest(x, y, norm) * (1 - 1e-5)).all()
    proposals = fab(problem, SHORT)
    assert problem.ball.contains(proposals).all()
    assert torch.equal(problem.goal.broken(problem.target.decide(proposals, 0)), distance <= problem.ball.eps)
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("norm", NORMS)
def test_neither_order_nor_batch_changes_a_sample(norm: str, linear: nn.Module, make_problem: Make) -> None:
    model = exact(linear)
    x, y = samples(model, 7, (2, 3, 2))
    eps, ids = linear.closest(x, y, norm) * torch.linspace(0.8, 1.5, 7), torch.arange(7)
    config = FAB(steps=5, targets=2, restarts=2)
    whole = fab(make_problem(model, x, y, eps, norm), config)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = make_problem(model, x[order], y[order], eps[order], norm, ids=ids[order])
    assert torch.equal(fab(shuffled, config), whole[order])
    for part in (ids[:1], ids[1:5], ids[5:]):
        problem = make_problem(model, x[part], y[part], eps[part], norm, ids=part)
        assert torch.equal(fab(problem, config), whole[part])


def test_no_samples(linear: nn.Module, make_problem: Make) -> None:
    nothing, y = torch.empty(0, 12), torch.empty(0, dtype=torch.int64)
    assert fab(make_problem(linear, nothing, y, 0.1), SHORT).shape == (0, 12)


def test_a_start_that_is_wrong_costs_one_question(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    y[2] = (y[2] + 1) % 3
    problem = make_problem(linear, x, y, 0.1, "linf")
    points, distance = closest_fab(problem, SHORT)
    assert distance[2] == 0
    assert torch.equal(points[2], x[2])
    assert problem.target.meter.backward["gradient"][2] == 1


def test_restarts_only_bring_closer(make_problem: Make) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)).requires_grad_(False)
    x, y = samples(model, 16)
    problem = make_problem(model, x, y, 0.5, "l2")
    _, once = closest_fab(problem, FAB(steps=8, targets=3))
    _, twice = closest_fab(problem, FAB(steps=8, targets=3, restarts=3))
    assert (twice <= once).all()
    assert (twice < once).any()


@pytest.mark.parametrize("norm", NORMS)
def test_targeted(norm: str, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    targets = (y + 1) % 3
    problem = make_problem(linear, x, y, 99.0, norm, targets=targets, lower=-9.0, upper=9.0)
    assert torch.equal(linear(fab(problem, FAB(steps=30))).argmax(dim=1), targets)


@pytest.mark.parametrize("norm", NORMS)
def test_two_classes(norm: str, linear: nn.Module, make_problem: Make) -> None:
    two = type(linear)(classes=2)
    x, y = samples(two)
    problem = make_problem(two, x, y, 1.01 * two.closest(x, y, norm), norm, lower=-9.0, upper=9.0)
    assert (two(fab(problem, SHORT)).argmax(dim=1) != y).all()
    assert problem.target.meter.backward["gradient"].max() < 10


@pytest.mark.parametrize("norm", NORMS)
def test_nan_logits_and_dead_gradients_end_in_finite_points(norm: str, make_problem: Make) -> None:
    def fragile(points: Tensor) -> Tensor:
        clean = (points == 0.5).flatten(1).all(dim=1, keepdim=True)
        rest = torch.full((len(points), 3), math.nan) + points.flatten(1)[:, :1]
        return torch.where(clean, torch.tensor([1.0, 0.0, 0.0]) + 0 * points.flatten(1)[:, :1], rest)

    x, y = torch.full((3, 5), 0.5), torch.zeros(3, dtype=torch.int64)
    problem = make_problem(fragile, x, y, 9.0, norm)
    points = fab(problem, SHORT)
    assert problem.ball.contains(points).all()
    # No answer is no prediction: that breaks an untargeted goal, and the last point is judged by the deployed model.
    assert problem.goal.broken(problem.target.decide(points, 0)).all()
    assert torch.equal(fab(make_problem(fragile, x, y, 9.0, norm, targets=y + 1), SHORT), x)


def test_crosses_the_boundary_by_more_than_the_twin_may_err(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    problem = make_problem(linear, x, y, 99.0, "l2", lower=-9.0, upper=9.0)
    strict = Problem(x, problem.goal, problem.ball, replace(problem.target, slack=0.5), problem.stream)
    points = fab(strict, FAB(steps=20, targets=2))
    assert (problem.goal.score(problem.target.decide(points, 0)) > 0.5).all()
