"""Losses of targets that may refuse to answer: signs, the class to reject, and no word about units."""

from dataclasses import replace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robcheck.harness import rejection
from robcheck.harness.decision import DETECTOR_LOSSES, Decision, Goal, LossName, Objective


def answers(n: int, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=generator) - 5
    score = torch.randn(n, generator=generator)
    y = torch.randint(classes, (n,), generator=generator)
    return logits, score, y, (y + 1 + torch.randint(classes - 1, (n,), generator=generator)) % classes


def with_reject_class(logits: Tensor, score: Tensor) -> Tensor:
    """The N+1 logits of Carlini and Wagner, written down as they stand, for logits that are not negative."""
    moved = logits - logits.amin(dim=1, keepdim=True)
    return torch.cat([moved, ((score + 1) * moved.amax(dim=1))[:, None]], dim=1)


@pytest.mark.parametrize("classes", [2, 3, 6])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_class_to_reject_never_wins(classes: int, seed: int) -> None:
    logits, score, y, t = answers(40, classes, seed)
    every = with_reject_class(logits, score)
    for i in range(40):
        wrong = [every[i, j] for j in range(classes) if j != y[i]]
        expected = max(wrong) - max(every[i, y[i]], every[i, classes])
        one = slice(i, i + 1)
        assert rejection.reject_class(logits[one], score[one], y[one]).item() == pytest.approx(
            float(expected), abs=1e-4
        )
        expected = every[i, t[i]] - max(every[i, y[i]], every[i, classes])
        found = rejection.reject_class_toward(logits[one], score[one], y[one], t[one], exactly=False)
        assert found.item() == pytest.approx(float(expected), abs=1e-4)
        expected = every[i, t[i]] - max(every[i, j] for j in range(classes + 1) if j != t[i])
        found = rejection.reject_class_toward(logits[one], score[one], y[one], t[one], exactly=True)
        assert found.item() == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("loss", DETECTOR_LOSSES)
@pytest.mark.parametrize("classes", [2, 5])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_above_zero_exactly_at_a_break(loss: LossName, classes: int, seed: int) -> None:
    logits, score, y, t = answers(60, classes, seed)
    decision = Decision(logits, score)
    for goal in (Goal(y), Goal(y, t)):
        assert torch.equal(Objective(loss, goal)(decision) > 0, goal.broken(decision))
        assert torch.equal(Objective(loss, goal)(decision) > 0, goal.score(decision) > 0)
    aimed = Objective(loss, Goal(y), t)(decision) > 0
    ahead = (logits.gather(1, t[:, None]) > logits.gather(1, y[:, None]))[:, 0]
    assert bool((~aimed | Goal(y).broken(decision)).all())
    if loss != "reject-class":  # of which a third class may be ahead
        assert torch.equal(aimed, ahead & (score < 0))


@pytest.mark.parametrize("loss", [*DETECTOR_LOSSES, "ce", "margin", "dlr"])
def test_a_score_that_is_no_number_is_accepted(loss: LossName) -> None:
    logits, score, y, _ = answers(20, 4, 0)
    nothing = torch.full_like(score, torch.nan)
    certain = Decision(logits, torch.full_like(score, -1e9))
    found, goal = Objective(loss, Goal(y)), Goal(y)
    assert torch.equal(found(Decision(logits, nothing)) > 0, found(certain) > 0)
    assert torch.equal(goal.broken(Decision(logits, nothing)), goal.broken(certain))
    assert goal.broken(Decision(logits, nothing)).any()
    leaf = logits.clone().requires_grad_(True)
    loss_value = found(Decision(leaf, nothing * leaf[:, 0])).sum()
    (gradient,) = torch.autograd.grad(loss_value, [leaf])
    assert gradient[~gradient.isnan()].abs().sum() > 0


@pytest.mark.parametrize("loss", ["joint", "two-phase"])
@pytest.mark.parametrize("scale", [1000.0, 0.001, 2.0**-40, 2.0**60])
def test_units_do_not_matter(loss: LossName, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = 2 * torch.rand(2, 200, generator=generator) - 1
    gradients = torch.randn(2, 200, 3, 4, generator=generator)
    objective = Objective(loss, Goal(torch.zeros(200, dtype=torch.int64)))
    assert len(objective.terms) == 2
    plain = objective.joined(list(values), list(gradients))
    scaled = objective.joined([values[0], scale * values[1]], [gradients[0], scale * gradients[1]])
    assert torch.allclose(unit(plain[1]), unit(scaled[1]), atol=1e-5)
    if loss == "joint":
        assert torch.allclose(plain[0], scaled[0], rtol=1e-4)
    other = objective.joined([values[0], scale * values[1]], [gradients[0], gradients[1]])
    assert other[0].isfinite().all()


def unit(gradient: Tensor) -> Tensor:
    return gradient / gradient.flatten(1).norm(dim=1)[:, None, None]


def test_the_joint_gradient_is_made_of_what_is_lacking() -> None:
    along = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 5.0]]])

    def gradient(wrong: float, accepted: float) -> list[float]:
        values = torch.tensor([wrong]), torch.tensor([5 * accepted])
        return cast("list[float]", rejection.joint(values, along)[1].flatten().tolist())

    assert gradient(-1, -1) == [1, 1]
    assert gradient(-1, 2) == [1, 0]
    assert gradient(2, -1) == [0, 1]
    assert gradient(-1, 0.2) == [1, 1]  # barely accepted, and far from wrong
    assert gradient(0.2, -1) == [1, 1]
    assert gradient(0, 0.1) == [1, 0]  # a margin of 0 is not yet wrong, a score of 0 is accepted
    assert gradient(0.1, 0) == [1, 1]
    assert rejection.joint((torch.tensor([-3.0]), torch.tensor([-5.0])), along)[0].item() == pytest.approx(-3)


def test_two_phases_rise_together() -> None:
    """Whatever is wrong beats whatever is not; within a phase the loss rises with its own term alone."""
    wrong = torch.tensor([-1e6, -3.0, -1e-6, 1e-6, 1e-6, 5.0, 5.0])
    accepted = torch.tensor([9.0, -9.0, 9.0, -1e8, -2.0, -1e-5, 3.0])
    gradients = torch.ones(7, 2), torch.full((7, 2), 2.0)
    loss, gradient = rejection.phased((wrong, accepted), gradients)
    assert loss.tolist() == sorted(loss.tolist())
    assert len(set(loss.tolist())) == 7
    assert gradient[:, 0].tolist() == [1, 1, 1, 2, 2, 2, 2]


def test_matching_is_the_distance_to_the_guide() -> None:
    logits, score, y, _ = answers(8, 4, 2)
    guide = torch.randn(8, 4, generator=torch.Generator().manual_seed(9))
    objective = Objective("match", Goal(y), guide=guide)
    expected = [-float(((logits[i] - guide[i]) ** 2).sum()) for i in range(8)]
    assert objective(Decision(logits, score)).tolist() == pytest.approx(expected, rel=1e-5)
    assert objective(Decision(logits)).tolist() == pytest.approx(expected, rel=1e-5)
    features = torch.randn(8, 3, generator=torch.Generator().manual_seed(8))
    deep = replace(objective, loss="match-features", guide=features + 1)
    assert deep(Decision(logits, score, features)).tolist() == pytest.approx([-3.0] * 8, rel=1e-4)
    assert objective.select(torch.tensor([3, 3]))(Decision(logits[[3, 3]])).tolist() == pytest.approx([expected[3]] * 2)
    impossible = torch.tensor([[0.0, float("-inf")]])
    alike = Objective("match", Goal(torch.zeros(1, dtype=torch.int64)), guide=impossible)
    assert alike(Decision(impossible)).tolist() == [0.0]


def test_parts_of_a_decision_stay_together() -> None:
    logits, score, _, _ = answers(6, 4, 3)
    features = torch.arange(12.0).reshape(6, 2)
    for whole in (Decision(logits), Decision(logits, score), Decision(logits, None, features)):
        halves = [whole.like([part[:3] for part in whole.parts]), whole.like([part[3:] for part in whole.parts])]
        again = Decision.cat(halves)
        assert [part.tolist() for part in again.parts] == [part.tolist() for part in whole.parts]
        assert (again.rejection is None, again.features is None) == (whole.rejection is None, whole.features is None)
