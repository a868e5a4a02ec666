"""Planted dead gradients: the plan goes on with another kind, says so, and finds what was hidden."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.execution.observer import Silent
from robcheck.harness.execution.revision import blind
from robcheck.harness.execution.trace import Pulse
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import Result
from robcheck.suites import Suite

EPS = 0.1
FEATURES = 16


class Mask(torch.autograd.Function):
    """The identity whose backward pass is multiplied by a mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradients[0] * mask, None


class Linear(nn.Module):
    """Class 1 where the mean is above one half; of the gradient only what `kept` lets through."""

    def __init__(self, kept: str = "all", scale: float = 20.0) -> None:
        super().__init__()
        self.kept, self.scale = kept, scale
        self.weight = nn.Parameter(torch.ones(FEATURES) / FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        mask = {
            "all": torch.ones_like(x),
            "no": torch.zeros_like(x),
            "nan": torch.full_like(x, torch.nan),
            "of every other sample": (x[:, :1].detach() < 0.5).float().expand_as(x),
            "of most features": (torch.arange(FEATURES) < 10).float().expand_as(x),
        }[self.kept]
        score = self.scale * (Mask.apply(x, mask) @ self.weight - 0.5)
        return torch.stack([-score, score], dim=1)


class Blind:
    """A classifier that has no twin."""

    info = ModelInfo(name="blind", format="torch", twin=Twin(available=False, reason="Floor has no gradient"))

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return Linear()(x)

    def differentiable(self, gradient: str = "exact") -> None:  # noqa: ARG002
        return None


class Impatient(Silent):
    """Interrupts the first attack that was added."""

    added = False

    def started(self, what: str, samples: int, passes: int) -> None:  # noqa: ARG002
        self.added = what == "pgd + nes"

    def passed(self, passes: int) -> None:  # noqa: ARG002
        if self.added:
            raise KeyboardInterrupt


def samples(distance: float, n: int = 12) -> tuple[Tensor, Tensor]:
    """Points that lie `distance` from the boundary in every feature, of class 0; the first feature tells halves."""
    x = torch.full((n, FEATURES), 0.5 - distance)
    x[::2, 0] += 0.2
    x[::2, 1:] -= 0.2 / (FEATURES - 1)
    return x, torch.zeros(n, dtype=torch.int64)


PGD = {"name": "pgd", "attack": "pgd", "steps": 10}
SQUARE = {"attack": "square", "queries": 200}


def attacked(model: Any, *entries: dict[str, Any], distance: float = 0.6 * EPS, **more: Any) -> Result:
    x, y = samples(distance)
    suite = Suite.model_validate({"name": "planted", "attacks": list(entries)})
    return robcheck.evaluate(model, x, y, suite=suite, epsilon=EPS, device="cpu", **{"controls": "none", **more})


def broke(result: Result) -> dict[str, tuple[int, int]]:
    return {record.name: (record.attempted, record.broken) for record in result.attacks}


def severe(result: Result) -> set[str]:
    return {finding.code for finding in result.findings if finding.severity == "severe"} - {"CONTROLS_OFF"}


def test_a_living_gradient_is_left_alone() -> None:
    result = attacked(Linear(), PGD)
    assert broke(result) == {"pgd": (12, 12)}
    assert [entry.name for entry in result.plan] == ["pgd"]


@pytest.mark.parametrize("kept", [pytest.param("no", marks=pytest.mark.slow), "nan"])
def test_a_dead_gradient_is_replaced(kept: str) -> None:
    result = attacked(Linear(kept), PGD)
    assert result.robust_accuracy == 0
    assert broke(result)["pgd + nes"] == (12, 12)
    entry = next(entry for entry in result.plan if entry.revises)
    assert (entry.name, entry.revises, entry.gradient) == ("pgd + nes", "pgd", "nes")
    assert "12 standing samples" in entry.reason
    assert "lead uphill on 12 of 12" in entry.reason
    # Answers alone are a weaker attack than a gradient: they lower the number and excuse nothing.
    assert severe(result) == {"ZERO_GRADIENT"}


def test_only_the_samples_concerned_are_taken_on() -> None:
    # The dead half: random directions do not break it, nes does.
    result = attacked(Linear("of every other sample"), PGD)
    assert broke(result) == {"pgd": (12, 6), "pgd + nes": (6, 6)}
    assert result.robust_accuracy == 0


def test_a_fixed_gradient_is_respected() -> None:
    result = attacked(Linear("no"), {**PGD, "gradient": "exact"})
    assert set(broke(result)) == {"pgd"}
    assert result.robust_accuracy > 0.5
    assert "ZERO_GRADIENT" in severe(result)


@pytest.mark.slow
def test_a_robust_model_stays_robust_and_a_dead_gradient_ends_where_nes_does() -> None:
    result = attacked(Linear("no"), PGD, distance=1.5 * EPS)
    assert result.robust_accuracy == 1
    assert broke(result)["pgd + nes"] == (12, 0)


def test_what_black_box_attacks_found_alone_is_judged_after_escalation() -> None:
    # Ten of sixteen features move the score by 0.0625, the boundary is at 0.08: the gradient is too weak, not dead.
    entries = (PGD, SQUARE)
    result = attacked(Linear("of most features"), *entries, distance=0.8 * EPS)
    found = broke(result)
    assert found["pgd"] == (12, 0)
    assert found["square"][1] > 0
    assert "pgd + nes" in found
    assert "BLACKBOX_BEATS_WHITEBOX" not in {finding.code for finding in result.findings}
    fixed = [{**PGD, "gradient": "exact"}, SQUARE]
    alone = attacked(Linear("of most features"), *fixed, distance=0.8 * EPS)
    assert broke(alone) == {"pgd": (12, 0), "square": found["square"]}
    assert "BLACKBOX_BEATS_WHITEBOX" in severe(alone)


def test_a_loss_that_saturates_is_replaced_and_its_gradient_kept() -> None:
    result = attacked(Linear(scale=10_000.0), {"name": "apgd", "attack": "apgd", "loss": "ce", "steps": 10})
    entry = next(entry for entry in result.plan if entry.revises)
    assert (entry.name, entry.gradient, entry.loss) == ("apgd + margin", "exact", "margin")
    assert result.robust_accuracy == 0
    planned = attacked(Linear(scale=10_000.0), {"name": "apgd", "attack": "apgd", "loss": "auto", "steps": 10})
    assert planned.plan[0].loss == "dlr"
    assert broke(planned) == {"apgd": (12, 12)}


def test_without_any_gradient_answers_are_climbed_and_no_gradient_stays_severe() -> None:
    result = attacked(Blind(), PGD)
    assert result.attacks[0].status == "skipped"
    assert broke(result)["pgd + nes"] == (12, 12)
    assert result.robust_accuracy == 0
    assert "NO_GRADIENT" in severe(result)


@pytest.mark.slow
def test_batches_change_nothing() -> None:
    one, other = (attacked(Linear("of every other sample"), PGD, SQUARE, batch_size=size) for size in (24, None))
    assert broke(one) == broke(other)
    assert torch.equal(one.adversarial, other.adversarial)


@pytest.mark.slow
def test_the_budget_holds() -> None:
    result = attacked(Linear("no"), PGD, max_passes=600)
    spent = sum(record.forward + record.backward for record in result.attacks)
    assert spent <= 600
    assert {record.name: record.status for record in result.attacks} == {"pgd": "ok", "pgd + nes": "starved"}
    assert "BUDGET_EXHAUSTED" in severe(result)
    assert "ZERO_GRADIENT" in severe(result)


def test_an_interrupt_while_the_plan_is_revised_keeps_what_was_found() -> None:
    result = attacked(Linear("no"), PGD, SQUARE, observer=Impatient())
    assert not result.complete
    status = {record.name: record.status for record in result.attacks}
    assert status["pgd"] == "ok"
    assert status["pgd + nes"] == status["square"] == "interrupted"
    assert next(entry for entry in result.plan if entry.revises).name == "pgd + nes"


def test_blind_means_nearly_no_slope_or_a_loss_that_never_moved() -> None:
    asked = torch.tensor([10.0, 10.0, 10.0, 2.0, 10.0])
    dead = torch.tensor([10.0, 9.0, 8.0, 2.0, 0.0])
    moved = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    pulse = Pulse(torch.tensor([4, 3, 2, 1, 0]), asked, dead, moved)
    assert blind([pulse]).tolist() == [4, 3, 0]
    assert blind([]).tolist() == []
