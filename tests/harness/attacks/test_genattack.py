"""GenAttack breaks what it should, keeps its budget, and treats every sample alone."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks.genattack import GenAttack, fitness, genattack
from robcheck.harness.decision import Decision, Goal
from robcheck.harness.target import Problem

Make = Callable[..., Problem]
SHORT = GenAttack(queries=150, mutation_rate=0.2)


def exact(linear: nn.Module) -> Callable[[Tensor], Tensor]:
    """Linear logits whose bits do not depend on the batch size."""
    weight = linear.weight.double()
    return lambda x: (x.flatten(1).double()[:, None, :] * weight).sum(dim=2).float()


def samples(model: Callable[[Tensor], Tensor], n: int = 8, shape: tuple[int, ...] = (12,)) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


@pytest.mark.parametrize("adaptive", [True, False])
def test_breaks_exactly_what_can_be_broken(adaptive: bool, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, 16)
    distance = linear.closest(x, y, "linf")
    config = GenAttack(queries=1500, mutation_rate=0.1, adaptive=adaptive)
    for factor, expected in ((1.25, True), (0.999, False)):
        problem = make_problem(linear, x, y, distance * factor, lower=-9.0, upper=9.0, phase="blackbox")
        points = genattack(problem, config)
        assert problem.ball.contains(points).all()
        assert ((linear(points).argmax(dim=1) != y) == expected).all()
        used = problem.target.meter.forward["blackbox"]
        assert (used == 1500).all() if not expected else (used < 1500).all()


def test_targeted(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    targets = (y + 1) % 3
    problem = make_problem(linear, x, y, 9.0, targets=targets, lower=-9.0, upper=9.0, phase="blackbox")
    points = genattack(problem, GenAttack(queries=2000, mutation_rate=0.1))
    assert torch.equal(linear(points).argmax(dim=1), targets)


@pytest.mark.parametrize("queries", [1, 2, 3, 9, 70])
def test_no_sample_exceeds_its_budget(queries: int, linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    problem = make_problem(linear, x, y, 0.001, phase="blackbox")
    genattack(problem, GenAttack(queries=queries))
    assert (problem.target.meter.forward["blackbox"] == queries).all()


def test_neither_order_nor_batch_changes_a_sample(linear: nn.Module, make_problem: Make) -> None:
    model = exact(linear)
    x, y = samples(model, 7, (1, 3, 4))
    eps, ids = linear.closest(x, y, "linf") * torch.linspace(0.5, 2.5, 7), torch.arange(7)
    whole = genattack(make_problem(model, x, y, eps, phase="blackbox"), SHORT)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = make_problem(model, x[order], y[order], eps[order], ids=ids[order], phase="blackbox")
    assert torch.equal(genattack(shuffled, SHORT), whole[order])
    for part in (ids[:1], ids[1:5], ids[5:]):
        problem = make_problem(model, x[part], y[part], eps[part], ids=part, phase="blackbox")
        assert torch.equal(genattack(problem, SHORT), whole[part])


def test_in_ball_and_box_without_side_effects(linear: nn.Module, make_problem: Make) -> None:
    x = torch.rand(10, 1, 3, 4)
    y = linear(x).argmax(dim=1)
    before, state = x.clone(), torch.get_rng_state()
    problem = make_problem(linear, x, y, 0.1, phase="blackbox")
    points = genattack(problem, SHORT)
    assert problem.ball.contains(points).all()
    goal = problem.goal
    assert (goal.score(problem.target.decide(points, 0)) >= goal.score(problem.target.decide(x, 0)) - 1e-6).all()
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_start_that_is_wrong_costs_one_query(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    y[2] = (y[2] + 1) % 3
    problem = make_problem(linear, x, y, 0.1, phase="blackbox")
    assert torch.equal(genattack(problem, SHORT)[2], x[2])
    assert problem.target.meter.forward["blackbox"][2] == 1


def test_two_classes(linear: nn.Module, make_problem: Make) -> None:
    two = type(linear)(classes=2)
    x, y = samples(two)
    eps = 2 * two.closest(x, y, "linf")
    problem = make_problem(two, x, y, eps, lower=-9.0, upper=9.0, phase="blackbox")
    assert (two(genattack(problem, GenAttack(queries=1000))).argmax(dim=1) != y).all()


def test_nan_logits_break_an_untargeted_goal_only(make_problem: Make) -> None:
    def fragile(points: Tensor) -> Tensor:
        clean = (points == 0.5).flatten(1).all(dim=1, keepdim=True)
        return torch.where(clean, torch.tensor([1.0, 0.0, 0.0]), torch.full((len(points), 3), math.nan))

    x, y = torch.full((3, 5), 0.5), torch.zeros(3, dtype=torch.int64)
    problem = make_problem(fragile, x, y, 0.1, phase="blackbox")
    points = genattack(problem, SHORT)
    assert problem.goal.broken(problem.target.decide(points, 0)).all()
    targeted = make_problem(fragile, x, y, 0.1, targets=y + 1, phase="blackbox")
    assert torch.equal(genattack(targeted, SHORT), x)


def test_other_norms_are_refused(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear)
    with pytest.raises(ValueError, match="l2"):
        genattack(make_problem(linear, x, y, 1.0, "l2"), SHORT)


def test_fitness_is_the_difference_of_log_probabilities() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    y, targets = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1, 2, 3, 0, 2, 3])
    p = logits.softmax(dim=1)
    aimed = p.gather(1, targets[:, None])[:, 0]
    assert torch.allclose(fitness(Goal(y, targets), Decision(logits)), aimed.log() - (1 - aimed).log(), atol=1e-5)
    true = p.gather(1, y[:, None])[:, 0]
    rival = p.scatter(1, y[:, None], 0.0).amax(dim=1)
    assert torch.allclose(fitness(Goal(y), Decision(logits)), rival.log() - true.log(), atol=1e-5)
    assert (fitness(Goal(y), Decision(logits, torch.full((6,), 9.0))) <= -9).all()
