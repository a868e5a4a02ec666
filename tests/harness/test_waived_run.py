"""Waivers in a whole evaluation: shown, counted, and no way round a run that says nothing."""

from typing import Any

import torch
from torch import nn

import robcheck
from robcheck.harness.results import Result
from robcheck.suites import Suite


def run(model: nn.Module, passes: int | None, *waivers: dict[str, str], **more: Any) -> Result:
    x = 0.4 + 0.2 * torch.rand(60, 12, generator=torch.Generator().manual_seed(1))
    attacks = [{"attack": "pgd", "steps": 5, "loss": "margin"}, {"attack": "apgd", "steps": 10, "loss": "ce"}]
    suite = Suite.model_validate({"name": "tiny", "attacks": attacks, "waivers": list(waivers)})
    y = model(x).argmax(dim=1)
    told = {"epsilon": 1e-4, "min_robust_accuracy": 0.5, "max_passes": passes} | more
    return robcheck.evaluate(model, x, y, suite=suite, device="cpu", **told)


def waiver(expires: str) -> dict[str, str]:
    return {"code": "BUDGET_EXHAUSTED", "reason": "only a smoke test of the pipeline", "expires": expires}


def test_a_waived_budget_does_not_make_samples_evaluated(linear: nn.Module) -> None:
    found = run(linear, 10, waiver("2999-01-01"))
    assert found.verdict == "INCONCLUSIVE"
    assert [w.status for w in found.waivers] == ["applied"]
    (finding,) = (f for f in found.findings if f.code == "BUDGET_EXHAUSTED")
    assert finding.severity == "severe"
    assert finding.waived.startswith("only a smoke test")
    assert any(reason.startswith("NOT_EVALUATED") for reason in found.against_pass)
    assert not any(reason.startswith("BUDGET_EXHAUSTED") for reason in found.against_pass)
    assert "Waived, and not standing against a PASS: BUDGET_EXHAUSTED" in found.explanation


def test_an_expired_waiver_is_as_none(linear: nn.Module) -> None:
    found = run(linear, 10, waiver("2020-01-01"))
    assert [w.status for w in found.waivers] == ["expired"]
    assert {"BUDGET_EXHAUSTED", "WAIVER_EXPIRED"} <= {f.code for f in found.findings}
    assert any(reason.startswith("BUDGET_EXHAUSTED") for reason in found.against_pass)


def test_an_unused_waiver_changes_nothing(linear: nn.Module) -> None:
    found = run(linear, None, waiver("2999-01-01"))
    assert [w.status for w in found.waivers] == ["unused"]
    assert "Waived" not in found.explanation


def test_where_nothing_can_move_no_waiver_helps(linear: nn.Module) -> None:
    """With a radius of 0 for all of the samples no attack and no control asks anything."""
    told = {"code": "ZERO_RADIUS", "reason": "some samples are to stay where they are", "expires": "2999-01-01"}
    some = run(linear, None, told, epsilon=torch.tensor([0.0, 1e-4]).repeat(30))
    assert some.verdict == "PASS"
    none = run(linear, None, told, epsilon=torch.zeros(60))
    assert none.verdict == "INCONCLUSIVE"
    assert [reason.partition(":")[0] for reason in none.against_pass] == ["NO_ATTACK"]
