"""Score- and decision-based attacks on a target that answers by chance: measured against closed forms.

A linear model of two classes under Gaussian input noise is wrong with probability Phi(-margin / (sigma |w|)), so the
largest expected error in a ball without walls is known.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.boundary import Rows
from robcheck.harness.attacks.hopskipjump import HopSkipJump, closest_broken
from robcheck.harness.attacks.standing import KEPT, Standing, balance, block, rounds
from robcheck.harness.attacks.wavering import _State, _widen
from robcheck.harness.decision import Decision
from robcheck.harness.defenses.gaussian_noise import GaussianNoise
from robcheck.harness.target import Problem

pytestmark = pytest.mark.slow

Make = Callable[..., Problem]
SHAPE = (1, 8, 8)
WEIGHT = torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LENGTH = float(WEIGHT.norm())
# Questions, and the share of the largest gain in expected error that they have to reach; searches of a fixed target,
# which stop at the first break that they meet, stay below .2.
SHARES = {
    ("square", "linf"): (1000, 0.8),
    ("square", "l2"): (1000, 0.64),
    ("genattack", "linf"): (1000, 0.75),
    ("hopskipjump", "linf"): (1500, 0.85),
    ("hopskipjump", "l2"): (1500, 0.8),
}
CASES = list(SHARES)
cases = pytest.mark.parametrize(("name", "norm"), CASES)


class Noisy:
    """Two classes, the margin of class 0 in standard deviations of the noise; its bits do not depend on the batch."""

    def __init__(self, sigma: float = 0.3, scale: float = 30.0) -> None:
        self.sigma, self.scale = sigma, scale
        self.stages = (GaussianNoise(sigma=sigma),)

    def __call__(self, x: Tensor) -> Tensor:
        value = self.scale * self.deviations(x)
        return torch.stack([value / 2, -value / 2], dim=1).float()

    def deviations(self, x: Tensor) -> Tensor:
        """Margins of class 0 in standard deviations, (N,)."""
        return ((x.flatten(1).double() - 0.5) * WEIGHT).sum(dim=1) / (self.sigma * LENGTH)

    def error(self, x: Tensor) -> Tensor:
        """How often class 0 is not what is answered, (N,)."""
        return 0.5 * torch.special.erfc(self.deviations(x) / math.sqrt(2))

    def samples(self, n: int, deviations: float | Tensor) -> Tensor:
        """Points of class 0 with this margin."""
        x = 0.45 + 0.1 * torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))
        gap = (deviations - self.deviations(x)) * self.sigma / LENGTH
        return (x.double() + (gap[:, None] * WEIGHT).view(-1, *SHAPE)).float()

    def optimum(self, x: Tensor, eps: float, norm: str) -> Tensor:
        """The largest error in the ball, (N,)."""
        gain = eps * (float(WEIGHT.abs().sum()) if norm == "linf" else LENGTH) / (self.sigma * LENGTH)
        return 0.5 * torch.special.erfc((self.deviations(x) - gain) / math.sqrt(2))


def problem_of(make: Make, model: Noisy, x: Tensor, eps: float, name: str, norm: str, **more: object) -> Problem:
    """What the evaluation hands to an attack: answers are means of draws for scores, majorities for decisions."""
    options = {"draws": 5, "phase": "blackbox", "gradient": None, "stages": model.stages, "lower": -9.0, "upper": 9.0}
    problem = make(model, x, torch.zeros(len(x), dtype=torch.int64), eps, norm, **(options | more))
    votes = ATTACKS[name].needs == "decisions"
    return replace(problem, target=replace(problem.target, votes=votes))


def attack(problem: Problem, name: str, queries: int) -> Tensor:
    points = ATTACKS[name].run(problem, ATTACKS[name].config(queries=queries))
    assert problem.ball.contains(points).all()
    return points


@cases
def test_expected_error_comes_close_to_the_largest(name: str, norm: str, make_problem: Make) -> None:
    model = Noisy()
    x = model.samples(8, torch.linspace(0.5, 2.0, 8))
    # One and a half standard deviations are within reach, so the optimum lies between .3 and .84.
    eps = 1.5 * model.sigma * (LENGTH / float(WEIGHT.abs().sum()) if norm == "linf" else 1.0)
    problem = problem_of(make_problem, model, x, eps, name, norm)
    queries, share = SHARES[name, norm]
    points = attack(problem, name, queries)
    gained = (model.error(points) - model.error(x)).mean() / (model.optimum(x, eps, norm) - model.error(x)).mean()
    assert gained > share


@cases
def test_no_lucky_draw_ends_a_search(name: str, norm: str, make_problem: Make) -> None:
    """Right in 60 of 100 draws wherever the search may go: some answers are breaks, and none of them is the end."""
    model = Noisy()
    x = model.samples(40, 0.2533)
    assert model.error(x).sub(0.4).abs().max() < 0.001
    problem = problem_of(make_problem, model, x, 1e-5, name, norm, draws=3)
    assert problem.goal.broken(problem.target.decide(x, 0)).sum() > 5
    before = problem.target.meter.forward["blackbox"].copy()
    attack(problem, name, 300)
    used = problem.target.meter.forward["blackbox"] - before
    assert (used > (3 * 200 if name == "hopskipjump" else 3 * 299)).all()


@cases
def test_what_is_wrong_on_every_draw_ends_a_search(name: str, norm: str, make_problem: Make) -> None:
    model = Noisy()
    x = model.samples(5, -6.0)
    problem = problem_of(make_problem, model, x, 0.001, name, norm)
    points = attack(problem, name, 1000)
    assert (model.error(points) > 0.999).all()
    assert problem.target.meter.forward["blackbox"].max() < 5 * 100


@cases
@pytest.mark.parametrize("queries", [1, 2, 3, 9, 171])
def test_no_sample_exceeds_its_budget(name: str, norm: str, queries: int, make_problem: Make) -> None:
    model = Noisy()
    problem = problem_of(make_problem, model, model.samples(4, 1.0), 0.02, name, norm, draws=2)
    attack(problem, name, queries)
    used = problem.target.meter.forward["blackbox"]
    assert used.max() <= 2 * queries
    if name != "hopskipjump":
        assert (used == 2 * queries).all()


@cases
def test_draws_travel_with_the_sample(name: str, norm: str, make_problem: Make) -> None:
    model = Noisy()
    x = model.samples(5, torch.linspace(-2.5, 2.0, 5))
    ids = torch.tensor([5, 1, 8, 2, 9])

    def run(rows: Tensor, seed: int = 0, batch: int = 256) -> Tensor:
        eps = 0.06 if norm == "linf" else 0.3
        options = {"ids": ids[rows], "seed": seed, "batch": batch, "draws": 3}
        return attack(problem_of(make_problem, model, x[rows], eps, name, norm, **options), name, 120)

    everyone = torch.arange(5)
    whole = run(everyone)
    assert torch.equal(run(everyone, batch=4), whole)
    order = torch.tensor([3, 0, 1, 4, 2])
    assert torch.equal(run(order), whole[order])
    assert torch.equal(torch.cat([run(everyone[:1]), run(everyone[1:])]), whole)
    assert not torch.equal(run(everyone, seed=1), whole)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_boundary_is_where_half_of_the_draws_are_broken(norm: str, make_problem: Make) -> None:
    model = Noisy(sigma=0.05)
    x = model.samples(8, torch.linspace(2.0, 6.0, 8))
    problem = problem_of(make_problem, model, x, 0.0, "hopskipjump", norm)
    points, found = closest_broken(problem, HopSkipJump(queries=2500, stop_at_eps=False))
    dual = float(WEIGHT.abs().sum()) if norm == "linf" else LENGTH
    ratio = found / (model.deviations(x) * model.sigma * LENGTH / dual)
    assert 0.9 < ratio.median() < 1.2
    assert model.error(points).mean() > 0.45


def test_probes_widen_until_their_answers_can_be_repeated(make_problem: Make) -> None:
    scales = []
    for sigma in (1e-4, 1.0):
        model = Noisy(sigma=sigma)
        x = model.samples(16, 0.0)
        rows = Rows.of(problem_of(make_problem, model, x, 0.1, "hopskipjump", "l2"))
        one = torch.ones(16)
        state = _State(x.flatten(1), x.flatten(1) * 0, one, one * 100, torch.zeros(16, 2))
        for round_ in range(6):
            _widen(rows, state, torch.full((16,), 0.1), round_)
        scales.append(float(state.scale.median()))
    assert scales[0] < 100 < scales[1]


def test_a_majority_of_rejections_is_no_vote_for_a_break(make_problem: Make) -> None:
    model = Noisy()
    problem = problem_of(make_problem, model, model.samples(3, 1.0), 0.1, "hopskipjump", "l2")

    class Rejecting:
        def select(self, index: Tensor) -> "Rejecting":  # noqa: ARG002
            return self

        def decide(self, x: Tensor, step: int) -> Decision:  # noqa: ARG002
            logits = torch.tensor([[0.1, 0.9], [0.1, 0.9], [0.9, 0.1]]).log()
            return Decision(logits, torch.tensor([0.3, -0.5, -0.5]))

    votes = Rows.of(replace(problem, target=Rejecting())).votes(problem.x.flatten(1)[:, None])[:, 0]
    assert votes.tolist() == pytest.approx([-0.6, 0.8, -0.8])


def test_one_lucky_answer_is_forgotten_and_many_good_ones_are_not() -> None:
    x = torch.zeros(2, 3)
    standing = Standing.begin(x, torch.tensor([-0.9, -0.9]))
    good, lucky = x + 1, x + 2
    for value in (0.5, 0.3, 0.4):
        assert not standing.recheck(good, torch.full((2,), value)).any()
    assert standing.count[:, 0].tolist() == [3, 3]
    standing.recheck(lucky, torch.tensor([0.9, 0.1]))
    standing.recheck(lucky, torch.tensor([-0.7, 0.1]))
    kept = standing.total / standing.count
    assert kept[:, 0].tolist() == pytest.approx([0.1, 0.1])
    assert kept.amax(dim=1).tolist() == pytest.approx([0.4, 0.4])
    assert torch.equal(standing.points[torch.arange(2), kept.argmax(dim=1)], good)


def test_a_search_is_over_after_five_answers_in_a_row() -> None:
    standing = Standing.begin(torch.zeros(1, 3), torch.tensor([-1.0]))
    answers = [1.0, 1.0, 1.0, 1.0, 0.9, 1.0, 1.0, 1.0, 1.0, 0.96]
    over = [bool(standing.recheck(torch.ones(1, 3), torch.tensor([value]))) for value in answers]
    assert over == [False] * 9 + [True]


def test_the_point_with_the_best_mean_on_fresh_draws_is_chosen(make_problem: Make) -> None:
    model = Noisy()
    x = model.samples(30, 1.0)
    problem = problem_of(make_problem, model, x, 1.0, "square", "l2")
    step = (0.3 * model.sigma / LENGTH * WEIGHT).view(SHAPE).float()
    standing = Standing.begin(x, torch.full((30,), 0.9))
    for place in range(1, KEPT):
        standing.points[:, place] = x - place * step
    assert torch.equal(standing.choose(problem, 1, 0), x)
    chosen = standing.choose(problem, 1, 5)
    # The same draws for all four, so that not one comparison of this model goes wrong.
    assert torch.equal(chosen, x - 3 * step)
    assert (problem.target.meter.forward["blackbox"] == 5 * 5 * KEPT).all()


def test_blocks_and_last_questions_leave_room_for_the_search() -> None:
    assert [block(number) for number in (1, 2, 15, 99)] == [6, 7, 20, 20]
    assert all(KEPT * rounds(queries) <= queries / 20 for queries in (1, 79, 80, 500, 5000))


def test_balance_is_the_difference_of_probabilities() -> None:
    wrong, right = torch.tensor([0.3, 0.5, 1.0]), torch.tensor([0.6, 0.5, 0.0])
    assert balance(wrong.log() - right.log()).tolist() == pytest.approx([-1 / 3, 0.0, 1.0])
    assert balance(torch.tensor([-math.inf, math.inf])).tolist() == [-1.0, 1.0]
