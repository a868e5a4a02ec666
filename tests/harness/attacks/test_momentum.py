"""Momentum against sums written out by hand."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.momentum import Momentum
from robcheck.harness.decision import Decision, Goal, Objective
from robcheck.harness.geometry import Norm
from robcheck.harness.randomness import Stream
from robcheck.harness.target import Answer, Problem
from robcheck.harness.threat import Ball

Make = Callable[..., Problem]


def test_two_steps_by_hand() -> None:
    momentum = Momentum.begin(0.5, torch.zeros(2, 2))
    first = momentum(torch.tensor([[1.0, -3.0], [0.0, 4.0]]))
    assert first.tolist() == [[0.5, -1.5], [0.0, 2.0]]
    second = momentum(torch.tensor([[2e-8, 2e-8], [-6.0, 2.0]]))
    assert torch.allclose(second, torch.tensor([[1.25, 0.25], [-1.5, 1.5]]))
    momentum.forget(torch.tensor([False, True]))
    third = momentum(torch.tensor([[4.0, 0.0], [4.0, 0.0]]))
    assert torch.allclose(third, torch.tensor([[2.625, 0.125], [2.0, 0.0]]))
    alone = momentum.select(torch.tensor([1]))
    assert torch.allclose(alone(torch.tensor([[0.0, 4.0]])), torch.tensor([[1.0, 2.0]]))
    assert torch.allclose(momentum(torch.tensor([[0.0, 4.0]]), torch.tensor([1])), torch.tensor([[1.0, 2.0]]))
    assert torch.allclose(momentum.velocity, torch.tensor([[2.625, 0.125], [1.0, 2.0]]))


def test_none_hands_gradients_on() -> None:
    gradient = torch.randn(3, 4)
    momentum = Momentum.begin(0.0, gradient)
    assert momentum(gradient) is gradient
    assert (momentum.velocity == 0).all()


class Curved(nn.Module):
    """Three classes over 5 features, bent so that gradients differ from step to step."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = torch.randn(8, 5, generator=generator)
        self.second = torch.randn(3, 8, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return (3 * (x - 0.5) @ self.first.T).sin() @ self.second.T


def samples(model: nn.Module) -> tuple[Tensor, Tensor]:
    x = 0.3 + 0.4 * torch.rand(4, 5, generator=torch.Generator().manual_seed(2))
    return x, model(x).argmax(dim=1)


def asked(make_problem: Make, name: str, norm: Norm, eps: float, **parameters: object) -> tuple[list[Tensor], Problem]:
    """The points that the attack asks gradients at, in order; nothing falls at so small a radius."""
    model, seen = Curved(), []

    def watched(points: Tensor) -> Tensor:
        if points.requires_grad:
            seen.append(points.detach().clone())
        return model(points)

    x, y = samples(model)
    problem = make_problem(watched, x, y, eps, norm)
    ATTACKS[name].run(problem, ATTACKS[name].config(**parameters))
    return seen, problem


def slope(points: Tensor, y: Tensor) -> Tensor:
    """Of the margin, by a backward pass of its own."""
    points = points.clone().requires_grad_(True)
    logits = Curved()(points)
    others = logits.scatter(1, y[:, None], -torch.inf).amax(dim=1)
    (gradient,) = torch.autograd.grad((others - logits.gather(1, y[:, None])[:, 0]).sum(), [points])
    return gradient


def unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=1, keepdim=True)


def cut(x: Tensor, points: Tensor, eps: float) -> Tensor:
    away = points - x
    return x + away * (eps / away.norm(dim=1, keepdim=True)).clamp(max=1)


EPS = 0.01


def test_pgd_is_mi_fgsm(make_problem: Make) -> None:
    seen, problem = asked(
        make_problem, "pgd", "l2", EPS, loss="margin", steps=6, momentum=0.9, start="sample", step_size=0.4
    )
    x, y = problem.x, problem.goal.y
    point, velocity = x, torch.zeros_like(x)
    for found in seen[:6]:
        assert torch.allclose(found, point, atol=1e-6)
        gradient = slope(point, y)
        velocity = 0.9 * velocity + gradient / gradient.abs().sum(dim=1, keepdim=True)
        point = cut(x, point + 0.4 * EPS * unit(velocity), EPS)


def test_transfer_is_mi_fgsm(make_problem: Make) -> None:
    seen, problem = asked(make_problem, "transfer", "l2", EPS, steps=6, momentum=0.7)
    x, y = problem.x, problem.goal.y
    point, velocity = seen[0], torch.zeros_like(x)
    for found in seen:
        assert torch.allclose(found, point, atol=1e-6)
        gradient = slope(point, y)
        velocity = 0.7 * velocity + gradient / gradient.abs().sum(dim=1, keepdim=True)
        point = cut(x, point + 2.5 / 6 * EPS * unit(velocity), EPS)


def test_apgd_accumulates_beside_its_inertia(make_problem: Make) -> None:
    """Up to its first checkpoint, the fourth step of twenty."""
    seen, problem = asked(make_problem, "apgd", "l2", EPS, loss="margin", steps=20, momentum=0.6)
    x, y = problem.x, problem.goal.y
    before = point = seen[0]
    velocity = torch.zeros_like(x)
    for k, found in enumerate(seen[:5]):
        assert torch.allclose(found, point, atol=1e-6)
        gradient = slope(point, y)
        velocity = 0.6 * velocity + gradient / gradient.abs().sum(dim=1, keepdim=True)
        ahead = cut(x, point + 2 * EPS * unit(velocity), EPS)
        share = 1.0 if k == 0 else 0.75
        moved = cut(x, point + share * (ahead - point) + (1 - share) * (point - before), EPS)
        before, point = point, moved
    plain, _ = asked(make_problem, "apgd", "l2", EPS, loss="margin", steps=20)
    assert torch.equal(plain[1], seen[1])
    assert not torch.allclose(plain[3], seen[3], atol=1e-5)


@dataclass(frozen=True)
class Fickle:
    """Nothing breaks, and every step meets another random slope."""

    seen: list[Tensor]
    random: bool = False
    classes: int = 2
    device: str = "cpu"

    def select(self, index: Tensor) -> "Fickle":
        del index
        return self

    def gradient(self, x: Tensor, objective: Objective, step: int) -> Answer:
        del objective
        self.seen.append(x.clone())
        slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(step))
        return Answer(torch.zeros(len(x)), slope, -torch.ones(len(x)), torch.zeros(len(x), dtype=torch.bool))

    def decide(self, x: Tensor, step: int) -> Decision:
        del step
        return Decision(torch.tensor([[1.0, 0.0]]).expand(len(x), -1))


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.3), ("l1", 0.5), ("l0", 3.0)])
@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_it_is_used_in_every_norm(name: str, norm: Norm, eps: float) -> None:
    x = torch.full((3, 40), 0.5)
    ids = torch.arange(3)

    def path(momentum: float) -> list[Tensor]:
        target = Fickle([])
        goal = Goal(torch.zeros(3, dtype=torch.int64))
        problem = Problem(x, goal, Ball.create(x, eps, norm), target, Stream.create(0, "fickle", ids))  # type: ignore[arg-type]
        ATTACKS[name].run(problem, ATTACKS[name].config(steps=10, momentum=momentum))
        return target.seen

    remembering, forgetful = path(1.0), path(0.0)
    assert torch.equal(remembering[0], forgetful[0])
    assert torch.allclose(remembering[1], forgetful[1], atol=1e-6)
    assert not torch.allclose(remembering[2], forgetful[2], atol=1e-3)
