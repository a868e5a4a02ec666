"""Draws of a random target without an answer: the others still say where the attack has to go."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.decision import Decision
from robcheck.harness.gradients import eot
from robcheck.harness.randomness import Stream
from robcheck.harness.rule import average
from robcheck.harness.stage import Surrogate, SurrogateKind
from robcheck.suites import Suite


@dataclass(frozen=True)
class Failing:
    """Some noise, and now and then nothing but NaN."""

    often: float
    label: str = "failing"
    random: bool = True
    kind: SurrogateKind = "exact"

    @property
    def surrogate(self) -> Surrogate:
        return Surrogate(self.kind, "for a test")

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        lost = stream.child("lost").uniform(0, (1,)) < self.often
        return torch.where(lost, torch.nan, x + 0.02 * stream.normal(0, tuple(x.shape[1:])))

    replacement = forward


@pytest.mark.parametrize("gradient", ["exact", "nes", "smoothed"])
@pytest.mark.parametrize("rule", ["single", "majority:5"])
def test_rare_failures_do_not_hide_a_linear_model(rule: str, gradient: str) -> None:
    """One draw in twelve is lost, of sixteen three in four questions lose one; the ball is twice as wide as needed."""
    weights = torch.linspace(-1, 1, 16)
    weights = weights / weights.abs().sum()
    linear = nn.Linear(16, 2, bias=False)
    linear.weight.data = 50 * torch.stack([weights, -weights])
    signs = torch.where(torch.arange(24) % 2 == 0, 1.0, -1.0)
    x = 0.5 + 0.1 * signs[:, None] * weights.sign()
    y = (signs < 0).long()
    attack = {"attack": "pgd", "steps": 8, "eot": 16, "gradient": gradient}
    result = robcheck.evaluate(
        linear,
        x,
        y,
        suite=Suite(name="t", attacks=[attack]),  # type: ignore[list-item]
        defenses=[Failing(1 / 12)],
        decision_rule=rule,
        epsilon=0.2,
        device="cpu",
    )
    assert result.clean_accuracy > 0.85
    assert result.robust_accuracy < 0.1


def test_the_mean_of_what_is_known() -> None:
    logits = torch.tensor([[1.0, 0.0], [math.nan, 0.0], [3.0, 1.0], [math.nan, 2.0], [math.nan, 0.0], [math.nan, 1.0]])
    logits.requires_grad_(True)
    decision = Decision(logits, torch.tensor([1.0, 9.0, 2.0, 1.0, 1.0, 5.0]), torch.ones(6, 3))
    plain, known = average(decision, 2), average(decision, 2, known=True)
    assert plain.logits[:, 0].isnan().all()
    expected = torch.log_softmax(logits[[0, 2]], dim=1)
    assert torch.allclose(known.logits[:2], expected)
    assert known.logits[2].isnan().any()
    assert known.rejection is not None
    assert known.rejection.tolist() == [1.0, 2.0, 3.0]
    (slope,) = torch.autograd.grad(known.logits[0, 0], [logits], retain_graph=True)
    assert slope[0].tolist() == pytest.approx([torch.sigmoid(torch.tensor(-1.0)).item(), -0.2689414], abs=1e-6)
    assert slope[1].tolist() == [0.0, 0.0]
    whole = Decision(torch.randn(6, 4), torch.randn(6), torch.randn(6, 2))
    for ours, theirs in zip(average(whole, 3, known=True).parts, average(whole, 3).parts, strict=True):
        assert torch.equal(ours, theirs)
    values = torch.tensor([1.0, torch.nan, 2.0, 4.0, torch.inf, -torch.inf])
    usable = torch.tensor([True, False, True, True, True, False])
    assert eot.mean_known(values, usable, 2).tolist() == [1.0, 3.0, math.inf]
    assert eot.mean_known(values[4:], torch.zeros(2, dtype=torch.bool), 2).isnan().all()
    assert torch.equal(eot.mean_known(values[2:4], usable[2:4], 1), values[2:4])
