"""Attacks on a linear classifier behind a linear detector: the distance to what is accepted and wrong is known."""

import math
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.apgd import APGD
from robcheck.harness.attacks.fgsm import FGSM
from robcheck.harness.attacks.pgd import PGD
from robcheck.harness.decision import Goal, Objective
from robcheck.harness.execution.local import LocalTarget
from robcheck.harness.geometry import Norm
from robcheck.harness.randomness import Stream
from robcheck.harness.target import Problem

pytestmark = pytest.mark.slow

ANGLE = math.radians(20)
START = (0.3, 0.5)
GAP, STEP = 0.08, 0.2
"""How far the sample is from being rejected, and from being wrong."""
N = 8


class Halves(nn.Module):
    """Wrong (class 1) is everything right of 0.5."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), x[:, 0] - 0.5], dim=1)


class Slanted:
    """Rejects what lies further along a direction 20 degrees off the one that makes answers wrong."""

    label = "slanted"
    random: ClassVar[bool] = False

    def __init__(self, scale: float = 1.0, blind: bool = False) -> None:
        self.scale, self.blind = scale, blind

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        along = x[:, 0] * math.cos(ANGLE) + x[:, 1] * math.sin(ANGLE)
        score = self.scale * (along - START[0] * math.cos(ANGLE) - START[1] * math.sin(ANGLE) - GAP)
        return score * math.nan if self.blind else score


def distance(norm: Norm) -> float:
    """To the corner of the wedge {wrong} cut with {accepted}: right by STEP, and down until the score is back."""
    down = (STEP * math.cos(ANGLE) - GAP) / math.sin(ANGLE)
    return {"linf": max(STEP, down), "l2": math.hypot(STEP, down), "l1": STEP + down}[norm]


def broken(make_problem: Any, norm: Norm, factor: float, detector: Slanted, config: Any, **more: Any) -> int:
    """Of N copies of the sample, each with its own randomness, how many end up accepted and wrong."""
    x, y = torch.tensor([START]).repeat(N, 1), torch.zeros(N, dtype=torch.int64)
    problem = make_problem(Halves(), x, y, factor * distance(norm), norm, **more)
    assert isinstance(problem.target, LocalTarget)
    target = replace(problem.target, pipeline=replace(problem.target.pipeline, detector=detector))
    problem = replace(problem, target=target)
    points = ATTACKS[config.attack].run(problem, config)
    assert bool(problem.ball.contains(points).all())
    return int(problem.goal.broken(target.decide(points, 0)).sum())


LOSSES = ["joint", "two-phase", "reject-class"]


@pytest.mark.parametrize(("norm", "scale"), [("linf", 0.001), ("linf", 1000.0), ("l2", 1.0)])
@pytest.mark.parametrize("loss", LOSSES)
def test_pgd_finds_what_there_is(make_problem: Any, loss: Any, norm: Norm, scale: float) -> None:
    assert broken(make_problem, norm, 1.02, Slanted(scale), PGD(loss=loss, steps=100, restarts=3)) == N
    assert broken(make_problem, norm, 0.98, Slanted(scale), PGD(loss=loss, steps=50)) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_aimed_at_a_class(make_problem: Any, loss: Any) -> None:
    """As a goal of its own, and as one class after the other."""
    goal = torch.ones(N, dtype=torch.int64)
    assert broken(make_problem, "linf", 1.02, Slanted(), PGD(loss=loss, steps=100, restarts=3), targets=goal) == N
    assert broken(make_problem, "linf", 1.02, Slanted(), PGD(loss=loss, steps=100, restarts=3, targets=1)) == N


@pytest.mark.parametrize("loss", ["joint", "two-phase"])
@pytest.mark.parametrize(("norm", "scale"), [("linf", 0.001), ("l2", 1000.0)])
def test_apgd_finds_what_there_is(make_problem: Any, loss: Any, norm: Norm, scale: float) -> None:
    assert broken(make_problem, norm, 1.02, Slanted(scale), APGD(loss=loss, steps=100, restarts=3)) == N
    assert broken(make_problem, norm, 0.98, Slanted(scale), APGD(loss=loss, steps=50)) == 0


@pytest.mark.parametrize("loss", ["joint", "two-phase"])
def test_units_of_the_score_change_nothing(make_problem: Any, loss: Any) -> None:
    """Near the distance, where it is luck: a power of two leaves every gradient direction as it is, bit for bit."""
    counts = [
        broken(make_problem, "linf", 1.003, Slanted(scale), PGD(loss=loss, steps=30)) for scale in (2.0**-10, 1, 2**10)
    ]
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("scale", [0.001, 1.0])
def test_the_margin_alone_is_not_enough(make_problem: Any, scale: float) -> None:
    """What leads to the nearest wrong answer leads into rejection: other losses are no luxury."""
    for config in (PGD(loss="margin", steps=100), APGD(loss="margin", steps=100)):
        assert broken(make_problem, "linf", 1.02, Slanted(scale), config) == 0


def test_a_blind_detector_hides_nothing(make_problem: Any) -> None:
    """Its score is no number, so everything is accepted and the classifier's own distance counts."""
    for loss in ("joint", "two-phase"):
        for config in (PGD(loss=loss, steps=20), FGSM(loss=loss)):  # type: ignore[arg-type]
            near = STEP / distance("linf")
            assert broken(make_problem, "linf", 1.01 * near, Slanted(blind=True), config) == N
            assert broken(make_problem, "linf", 0.99 * near, Slanted(blind=True), config) == 0


def guided(make_problem: Any, guides: Tensor, factor: float = 1.02) -> Problem:
    x, y = torch.tensor([START]).repeat(len(guides), 1), torch.zeros(len(guides), dtype=torch.int64)
    problem: Problem = make_problem(Halves(), x, y, factor * STEP, "linf")
    return replace(problem, guides=guides)


def test_matching_walks_to_its_guide(make_problem: Any) -> None:
    """The logits of a wrong sample lead over the boundary, those of a right one do not; without any nothing is led."""
    wrong, right, none = torch.tensor([[0.0, 0.3]]), torch.tensor([[0.0, -0.3]]), torch.full((1, 2), math.nan)
    problem = guided(make_problem, torch.stack([wrong, right, torch.cat([right, wrong])[:1], none]))
    for config in (PGD(loss="match", steps=30, start="sample"), APGD(loss="match", steps=30)):
        points = ATTACKS[config.attack].run(problem, config)
        fell = problem.goal.broken(problem.target.decide(points, 0))
        assert fell.tolist()[:3] == [True, False, False]


def test_restarts_take_guide_after_guide(make_problem: Any) -> None:
    wrong, right, none = [0.0, 0.3], [0.0, -0.3], [math.nan, math.nan]
    problem = guided(make_problem, torch.tensor([[right, wrong], [right, none], [wrong, none]]))
    assert [problem.guide(k).tolist() for k in range(3)] == [  # type: ignore[union-attr]
        torch.tensor(rows).tolist() for rows in ([right, right, wrong], [wrong, right, wrong], [right, right, wrong])
    ]
    for restarts, expected in ((1, [False, False, True]), (2, [True, False, True])):
        points = ATTACKS["pgd"].run(problem, PGD(loss="match", steps=30, restarts=restarts, start="sample"))
        assert problem.goal.broken(problem.target.decide(points, 0)).tolist() == expected


class Turning(Slanted):
    """Every draw weighs the features anew; on the mean it is `Slanted`, scaled up."""

    random: ClassVar[bool] = True

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:
        weights = 30 * stream.normal(0, (2,)).to(x)
        return 1000 * super().score(x, logits, stream) + (x * weights).sum(dim=1)


def test_draws_are_averaged_before_the_terms_are_joined(make_problem: Any) -> None:
    """Unit vectors of single draws would point anywhere, and their mean would be short."""
    x, y = torch.tensor([[0.55, 0.9]]).repeat(N, 1), torch.zeros(N, dtype=torch.int64)
    problem = make_problem(Halves(), x, y, 0.1, draws=64)
    target = replace(problem.target, pipeline=replace(problem.target.pipeline, detector=Turning()))
    gradient = target.gradient(x, Objective("joint", Goal(y)), 0).gradient
    away = -torch.tensor([math.cos(ANGLE), math.sin(ANGLE)])
    right = torch.tensor([1.0, 0.0])
    assert torch.allclose(gradient, (away + right).expand(N, 2), atol=0.05)
    assert torch.allclose(target.gradient(x, Objective("two-phase", Goal(y)), 0).gradient / 1000, away, atol=0.05)


def test_two_terms_cost_two_questions(make_problem: Any) -> None:
    x, y = torch.tensor([START]).repeat(4, 1), torch.zeros(4, dtype=torch.int64)
    spent = {}
    for loss in ("margin", "joint"):
        problem = make_problem(Halves(), x, y, 0.01)
        ATTACKS["pgd"].run(problem, PGD(loss=loss, steps=10))  # type: ignore[arg-type]
        spent[loss] = problem.target.meter.totals()
    assert (spent["margin"].backward, spent["joint"].backward) == (40, 80)
    assert Goal(y).y.tolist() == [0] * 4
