"""Which point of a random target is proposed: not the one that was lucky."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.best import CONFIRMING, Best
from robcheck.harness.attacks.candidates import KEPT, ROUNDS, Candidates, asked_again
from robcheck.harness.decision import Decision, Goal, Objective
from robcheck.harness.randomness import Stream
from robcheck.harness.stage import Surrogate
from robcheck.harness.target import Answer, Problem
from robcheck.harness.threat import Ball

Make = Callable[..., Problem]
DRAWS = 20


@dataclass(frozen=True)
class Coins:
    """A target that is wrong with probability x, the one feature of a sample; the score is the label of one draw."""

    stream: Stream
    asked: list[int]
    random: bool = True
    classes: int = 2
    device: str = "cpu"

    def select(self, index: Tensor) -> "Coins":
        return replace(self, stream=self.stream.select(index))

    def decide(self, x: Tensor, step: int) -> Decision:
        self.asked.append(len(x))
        wrong = self.stream.child(f"decide/{step}").uniform(0, (1,)) < x
        return Decision(torch.cat([(~wrong).float(), wrong.float()], dim=1))

    def gradient(self, x: Tensor, objective: Objective, step: int) -> Answer:
        del objective
        wrong = self.stream.child(f"gradient/{step}").uniform(0, (DRAWS,)) < x
        score = 2 * wrong.float().mean(dim=1) - 1
        return Answer(score, torch.ones_like(x), score, wrong.all(dim=1))


def coins(n: int, seed: int = 0) -> Problem:
    ids = torch.arange(n)
    x = torch.zeros(n, 1)
    target = Coins(Stream.create(seed, "coins", ids), [])
    stream = Stream.create(seed, "attack", ids)
    return Problem(x, Goal(torch.zeros(n, dtype=torch.int64)), Ball.create(x, 1.0, "linf"), target, stream)


def test_shares_are_those_of_the_coins() -> None:
    problem = coins(2000)
    x = torch.linspace(0, 1, 2000)[:, None]
    share, score = asked_again(problem, x, 50, 0)
    error = (share - x[:, 0]).abs() / ((x[:, 0] * (1 - x[:, 0]) / 50).sqrt() + 1e-6)
    assert error.quantile(0.95) < 2.2
    assert torch.allclose(score, 2 * share - 1, atol=1e-6)
    assert problem.target.asked == [2000] * 50


def test_the_few_highest_are_kept() -> None:
    x = torch.zeros(3, 1)
    kept = Candidates(x)
    scores = torch.rand(12, 2, generator=torch.Generator().manual_seed(0))
    for number, score in enumerate(scores):
        kept.add(torch.tensor([2, 0]), torch.full((2, 1), float(number)), score)
    for row, column in ((2, 0), (0, 1)):
        best = scores[:, column].argsort(descending=True)[:KEPT]
        assert sorted(kept.points[row, :, 0].tolist()) == sorted(best.float().tolist())
    assert kept.scores[1].isneginf().all()
    assert torch.equal(kept.chosen(coins(3), torch.tensor([1])), x[[1]])


def test_fresh_draws_find_the_best_of_those_kept() -> None:
    """Five coins from .1 to .9 that all came with the same score."""
    n = 300
    problem = coins(n)
    kept = Candidates(problem.x)
    for share in (0.5, 0.1, 0.9, 0.7, 0.3):
        kept.add(torch.arange(n), torch.full((n, 1), share), torch.zeros(n))
    chosen = kept.chosen(problem, torch.arange(n))[:, 0]
    assert chosen.mean() > 0.85
    assert (chosen > 0.6).float().mean() > 0.97
    (first, _), (second, field) = ROUNDS
    assert sum(problem.target.asked) == n * (KEPT * first + field * second)


def test_one_candidate_is_not_asked_about() -> None:
    problem = coins(4)
    kept = Candidates(problem.x)
    kept.add(torch.arange(4), torch.full((4, 1), 0.3), torch.zeros(4))
    assert (kept.chosen(problem, torch.arange(4)) == 0.3).all()
    assert problem.target.asked == []


def test_neither_order_nor_company_changes_a_choice() -> None:
    n = 12
    problem = coins(n)
    kept = Candidates(problem.x)
    for seed in range(4):
        points = torch.rand(n, 1, generator=torch.Generator().manual_seed(seed))
        kept.add(torch.arange(n), points, points[:, 0])
    whole = kept.chosen(problem, torch.arange(n))
    order = torch.tensor([3, 11, 0, 7])
    assert torch.equal(kept.chosen(problem, order), whole[order])
    # Equal points meet equal draws.
    share = [asked_again(problem, torch.full((n, 1), 0.5), 9, 77)[0] for _ in range(2)]
    assert torch.equal(*share)


def test_the_highest_of_many_means_is_luck_and_is_not_believed() -> None:
    """A hundred iterates, the means of 20 draws each: proposals are wrong more often than the luckiest iterate."""
    n = 400
    problem = coins(n)
    everyone = torch.arange(n)
    best, luckiest = Best(problem), torch.full((n,), -torch.inf)
    lucky = torch.zeros(n, 1)
    for step in range(100):
        x = 0.3 + 0.5 * problem.stream.uniform(step, (1,))
        answer = problem.target.gradient(x, Objective("margin", problem.goal), step)
        best.answer(everyone, x, answer, step)
        higher = answer.score > luckiest
        luckiest, lucky = torch.where(higher, answer.score, luckiest), torch.where(higher[:, None], x, lucky)
    assert not best.broken.any()
    promised = (luckiest.mean() + 1) / 2
    assert promised - lucky.mean() > 0.15  # the bias of a running maximum
    gain = best.proposals() - lucky
    assert gain.mean() > 4 * gain.std() / n**0.5
    assert gain.mean() > 0.01


def test_a_sample_is_left_alone_only_after_fresh_draws() -> None:
    """20 of 20 wrong is no rare sight at nine in ten: 1 step in 8. Another 20 of 20 is."""
    n = 500
    problem = coins(n)
    x = torch.where(torch.arange(n) % 2 == 0, 0.9, 1.0)[:, None]
    best = Best(problem)
    seen = torch.zeros(n, dtype=torch.bool)
    for step in range(10):
        answer = problem.target.gradient(x, Objective("margin", problem.goal), step)
        seen |= answer.broken
        best.answer(torch.arange(n), x, answer, step)
    assert seen[::2].float().mean() > 0.6
    assert best.broken[::2].float().mean() < 0.3
    assert best.broken[1::2].all()
    assert torch.equal(best.x[1::2], x[1::2])


def test_asking_without_an_answer_at_hand() -> None:
    problem = coins(200)
    best = Best(problem)
    best.ask(torch.arange(200), torch.full((200, 1), 1.0), 0)
    assert best.broken.all()
    assert (best.proposals() == 1).all()
    other = Best(problem)
    other.ask(torch.arange(200), torch.full((200, 1), 0.6), 1)
    other.ask(torch.arange(200), torch.full((200, 1), 0.2), 2)
    assert not other.broken.any()
    assert other.proposals().mean() > 0.55
    other.ask(torch.arange(0), torch.zeros(0, 1), 3)


class Steady(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
        return (x.flatten(1)[:, None, :] * weight).sum(dim=2)


@pytest.mark.parametrize(("name", "steps", "forwards"), [("pgd", 7, 8), ("apgd", 7, 8), ("fgsm", None, 2)])
def test_a_steady_target_is_asked_as_often_as_there_are_steps(
    name: str, steps: int | None, forwards: int, make_problem: Make
) -> None:
    """One gradient a step and the last point; nothing is kept, asked again or confirmed."""
    x = torch.full((5, 6), 0.5)
    problem = make_problem(Steady(), x, Steady()(x).argmax(dim=1), 1e-4)
    assert Best(problem).candidates is None
    ATTACKS[name].run(problem, ATTACKS[name].config(**({} if steps is None else {"steps": steps})))
    totals = problem.target.meter.totals()
    assert (totals.forward, totals.backward) == (5 * forwards, 5 * (forwards - 1))


class Shaken:
    """Gaussian noise on the pixels."""

    label, random, surrogate = "shaken", True, Surrogate("exact", "additive")

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return x + 0.3 * stream.normal(0, tuple(x.shape[1:]))

    replacement = forward


def test_attacks_on_a_random_target_are_judged_by_draws_of_their_own(make_problem: Make) -> None:
    x = torch.rand(6, 6, generator=torch.Generator().manual_seed(3))
    y = Steady()(x).argmax(dim=1)

    def run(rows: Tensor, batch: int) -> Tensor:
        problem = make_problem(Steady(), x[rows], y[rows], 0.02, ids=rows, stages=(Shaken(),), draws=4, batch=batch)
        points = ATTACKS["pgd"].run(problem, ATTACKS["pgd"].config(steps=5))
        assert problem.ball.contains(points).all()
        totals = problem.target.meter.totals()
        # Six gradients of four draws; the rest are questions to the deployed target, no more than announced.
        assert totals.backward <= 6 * 4 * len(rows)
        finals = KEPT * ROUNDS[0][0] + ROUNDS[1][0] * ROUNDS[1][1]
        assert totals.forward - totals.backward <= (finals + 6 * CONFIRMING) * len(rows)
        return points

    whole = run(torch.arange(6), 256)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    assert torch.equal(run(order, 3), whole[order])
