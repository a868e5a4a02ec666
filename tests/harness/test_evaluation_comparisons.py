"""Whole evaluations: weak plans are told, sound ones on a model that really resists are not called anything severe."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import robcheck
from robcheck.adapters.data.digits import digits
from robcheck.harness.results import Finding, Result
from robcheck.suites import Suite

MINE = {
    "ONE_STEP_BEATS_ITER",
    "NOT_CONVERGED",
    "ADAPTIVE_WEAKER",
    "EOT_BROKEN",
    "ATTACK_BROKEN",
    "TARGETED_STRONGER",
    "LOSS_SENSITIVE",
    "HPARAM_SENSITIVE",
    "SAME_ATTACK",
}
ROBUST = "embedded:digits-cnn-pgd"
ONE_STEP = {"attack": "pgd", "steps": 1}
SHORT_STEPS = {"attack": "pgd", "steps": 20, "step_size": 0.01}
SOUND = ({"attack": "pgd", "steps": 10}, {"attack": "apgd", "steps": 25})


@cache
def data() -> tuple[Tensor, Tensor]:
    x, y = digits("test")
    return torch.from_numpy(x), torch.from_numpy(y)


def run(eps: float, *attacks: dict[str, Any], model: Any = ROBUST, n: int = 100, **more: Any) -> Result:
    suite: Any = more.pop("suite", None) or Suite.model_validate({"name": "s", "attacks": list(attacks)})
    x, y = data()
    if isinstance(model, str):
        model = robcheck.load_model(model)
    return robcheck.evaluate(
        model, x[:n], y[:n], suite=suite, epsilon=eps, device="cpu", min_robust_accuracy=0.01, **more
    )


def mine(result: Result, *severities: str) -> set[str]:
    wanted = severities or ("warning", "severe")
    return {f.code for f in result.findings if f.code in MINE and f.severity in wanted}


def finding(result: Result, code: str) -> Finding:
    return next(f for f in result.findings if f.code == code)


def test_a_sound_plan_on_a_model_that_resists() -> None:
    result = run(0.1, *SOUND, trained_with="pgd")
    assert mine(result) == set()
    assert {c.name: c.status for c in result.controls if c.name in ("one_step", "steps", "generic", "settings")} == {
        "one_step": "ok",
        "steps": "ok",
        "generic": "ok",
        "settings": "ok",
    }


def test_steps_of_a_hundredth() -> None:
    result = run(0.2, SHORT_STEPS)
    assert mine(result, "severe") >= {"NOT_CONVERGED", "ADAPTIVE_WEAKER", "HPARAM_SENSITIVE"}
    assert result.verdict != "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.1, 0.15, 0.2, 0.25, 0.3])
@pytest.mark.parametrize("attack", [ONE_STEP, {"attack": "fgsm"}, SHORT_STEPS], ids=["one step", "fgsm", "short"])
def test_a_weak_plan_never_passes(attack: dict[str, Any], eps: float) -> None:
    result = run(eps, attack, n=200)
    assert mine(result, "severe") or result.robust_accuracy == 0
    assert result.verdict != "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.1, 0.15, 0.2, 0.25, 0.3])
@pytest.mark.parametrize("suite", ["quick", "standard", "adaptive"])
def test_built_in_suites_on_a_model_that_resists(suite: str, eps: float) -> None:
    result = run(eps, suite=suite, n=100)
    assert mine(result, "severe") == set()


@pytest.mark.slow
def test_a_plan_of_one_step_of_one_loss() -> None:
    assert "LOSS_SENSITIVE" in mine(run(0.3, {"attack": "fgsm"}, n=200), "severe")


def test_the_attack_that_it_was_trained_with() -> None:
    alone = run(0.1, {"attack": "pgd", "steps": 10}, trained_with="pgd", n=20, controls="none")
    assert "SAME_ATTACK" in mine(alone, "severe")
    assert finding(alone, "SAME_ATTACK").remedy
    assert "SAME_ATTACK" not in mine(run(0.1, {"attack": "pgd", "steps": 10}, n=20, controls="none"))
