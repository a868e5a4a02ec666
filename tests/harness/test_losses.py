"""Losses: signs, invariances, and no word between samples."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robcheck.harness import losses
from robcheck.harness.decision import Decision, Goal, Objective

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": losses.ce, "margin": losses.margin, "dlr": losses.dlr}
AIMED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ce": lambda z, y, t: losses.ce_toward(z, t),  # noqa: ARG005
    "margin": lambda z, y, t: losses.margin_toward(z, t),  # noqa: ARG005
    "difference": losses.difference,
    "dlr": losses.dlr_toward,
}


def logits(n: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = 4 * torch.randn(n, classes, generator=generator)
    y = torch.randint(classes, (n,), generator=generator)
    return z, y, (y + 1 + torch.randint(classes - 1, (n,), generator=generator)) % classes


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_margin_is_positive_exactly_when_the_answer_is_wrong(classes: int, seed: int) -> None:
    z, y, t = logits(50, classes, seed)
    assert torch.equal(losses.margin(z, y) > 0, z.argmax(dim=1) != y)
    assert torch.equal(losses.margin_toward(z, t) > 0, z.argmax(dim=1) == t)
    assert torch.equal(losses.dlr(z, y) > 0, z.argmax(dim=1) != y)
    goal, aimed = Goal(y), Goal(y, t)
    assert torch.equal(goal.score(Decision(z)) > 0, goal.broken(Decision(z)))
    assert torch.equal(aimed.score(Decision(z)) > 0, aimed.broken(Decision(z)))


@pytest.mark.parametrize("classes", [3, 4, 7])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_dlr_ignores_scale_and_shift(classes: int, seed: int, scale: float, shift: float) -> None:
    z, y, t = (v.double() if v.is_floating_point() else v for v in logits(20, classes, seed))
    assert torch.allclose(losses.dlr(z * scale + shift, y), losses.dlr(z, y), rtol=1e-6)
    if classes > 3:
        assert torch.allclose(losses.dlr_toward(z * scale + shift, y, t), losses.dlr_toward(z, y, t), rtol=1e-6)


def test_dlr_by_hand() -> None:
    z, y = torch.tensor([[5.0, 3.0, 1.0, 0.0]]), torch.tensor([0])
    assert losses.dlr(z, y).item() == pytest.approx(-(5 - 3) / (5 - 1))
    assert losses.dlr_toward(z, y, torch.tensor([2])).item() == pytest.approx(-(5 - 1) / (5 - 0.5 * (1 + 0)))
    assert losses.dlr_toward(z[:, :3], y, torch.tensor([2])).item() == pytest.approx(-(5 - 1))
    assert losses.dlr(z[:, :2], y).item() == pytest.approx(-2)


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("name", LOSSES)
def test_shape_and_direction(name: str, classes: int) -> None:
    z, y, _ = logits(30, classes, 3)
    loss = LOSSES[name]
    assert loss(z, y).shape == (30,)
    # More adversarial: the true logit falls.
    lower = z.scatter_add(1, y[:, None], torch.full((30, 1), -1.0))
    if name != "dlr":
        assert (loss(lower, y) >= loss(z, y)).all()
    assert (losses.ce(z, y) >= 0).all()


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("name", [*LOSSES, *(f"aimed {n}" for n in AIMED)])
def test_gradients_of_samples_do_not_mix(name: str, classes: int) -> None:
    z, y, t = logits(12, classes, 5)

    def value(points: Tensor, rows: slice) -> Tensor:
        if name in LOSSES:
            return LOSSES[name](points, y[rows])
        return AIMED[name.removeprefix("aimed ")](points, y[rows], t[rows])

    together = z.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(together, slice(None)).sum(), [together])
    for i in range(12):
        one = z[i : i + 1].clone().requires_grad_(True)
        (alone,) = torch.autograd.grad(value(one, slice(i, i + 1)).sum(), [one])
        assert torch.allclose(gradient[i : i + 1], alone, atol=1e-6)
        if "dlr" not in name:  # constant where y is the third of three
            assert alone.abs().sum() > 0


def test_nan_is_never_the_best_and_never_a_class() -> None:
    z = torch.tensor([[1.0, float("nan"), 0.0], [2.0, 1.0, 0.0], [float("nan")] * 3])
    y = torch.zeros(3, dtype=torch.int64)
    assert losses.finite(losses.margin(z, y)).tolist() == [float("-inf"), -1.0, float("-inf")]
    assert Decision(z).labels.tolist() == [-1, 0, -1]
    assert Goal(y).right(Decision(z)).tolist() == [False, True, False]


def test_infinite_logits_of_impossible_classes() -> None:
    """Log-probabilities may be -inf; the answer is still an answer."""
    z = torch.tensor([[0.0, float("-inf"), float("-inf")], [float("-inf"), 0.0, float("-inf")]])
    y = torch.zeros(2, dtype=torch.int64)
    assert Goal(y).score(Decision(z)).tolist() == [float("-inf"), float("inf")]
    assert Goal(y).broken(Decision(z)).tolist() == [False, True]


def test_rejected_answers_are_no_breaks() -> None:
    z, y = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.zeros(2, dtype=torch.int64)
    decision = Decision(z, rejection=torch.tensor([-0.5, 2.0]))
    assert Goal(y).broken(decision).tolist() == [True, False]
    assert Goal(y).score(decision).tolist() == [0.5, -2.0]
    assert Objective("margin", Goal(y))(decision).tolist() == [1.0, -1.0]


def test_an_objective_aims_where_it_is_told() -> None:
    z, y, t = logits(9, 5, 8)
    assert torch.equal(Objective("dlr", Goal(y), t)(Decision(z)), losses.dlr_toward(z, y, t))
    assert torch.equal(Objective("margin", Goal(y), t)(Decision(z)), losses.difference(z, y, t))
    assert torch.equal(Objective("margin", Goal(y, t))(Decision(z)), losses.margin_toward(z, t))
    assert torch.equal(Objective("ce", Goal(y, t))(Decision(z)), losses.ce_toward(z, t))
    weights = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    whole = Objective("ce", Goal(y, t), t, weights)
    assert torch.allclose(whole(Decision(z)), (weights * z).sum(dim=1))
    some = torch.tensor([3, 3, 0])
    assert torch.equal(whole.select(some)(Decision(z[some])), whole(Decision(z))[some])
    assert torch.equal(whole.fold(2)(Decision(z.repeat_interleave(2, 0))), whole(Decision(z)).repeat_interleave(2))


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_no_ratio_is_constant_for_right_answers(classes: int) -> None:
    """AutoAttack leaves out DLR with two classes and targeted DLR with three, because their slopes are zero there."""
    z, _, _ = logits(60, classes, 11)
    y, t = z.argmax(dim=1), z.argmin(dim=1)
    for value in (lambda v: losses.dlr(v, y), lambda v: losses.dlr_toward(v, y, t)):
        points = z.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(value(points).sum(), [points])
        assert bool((gradient.abs().sum(dim=1) > 1e-4).all())
