"""Ctrl-C in the middle of the experiments loses none of those that came before."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import robcheck
import robcheck.harness.evaluation as evaluation
from robcheck.harness.execution.controls import Control
from robcheck.harness.execution.lab import Lab
from robcheck.harness.trust import Measure
from robcheck.suites import Suite


@dataclass(frozen=True)
class Seen:
    samples: int
    measures: Sequence[Measure] = ()


def _finds(lab: Lab) -> Seen:
    """Half of the looked-at samples were never standing: the plan had broken them."""
    rows = lab.right()
    lab.judged(rows, (1 - lab.campaign.job.x[rows]).clamp(0.2, 0.8), key="found")
    return Seen(len(rows))


def _stops(_: Lab) -> Seen:
    raise KeyboardInterrupt


def test_what_came_before_an_interrupt_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = (Control("finds", "Is there more?", _finds), Control("stops", "And?", _stops))
    monkeypatch.setattr(evaluation, "scheduled", lambda _: listed)
    torch.manual_seed(0)
    x = torch.full((8, 1, 2, 2), 0.3)
    x[4:] = 0.499  # one step away
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[-1.0] * 4, [1.0] * 4]))
        model[1].bias.copy_(torch.tensor([2.0, -2.0]))
    # The ball holds a crossing for all of them; one small step finds that of the nearer half alone.
    attack = {"attack": "pgd", "steps": 1, "step_size": 0.02, "start": "sample"}
    suite = Suite.model_validate({"name": "small", "attacks": [attack]})
    result = robcheck.evaluate(model, x, torch.zeros(8, dtype=torch.int64), suite=suite, norm="linf", epsilon=0.5)
    assert not result.complete
    assert [(c.name, c.fell) for c in result.controls] == [("finds", 4)]
    found = next(record for record in result.attacks if record.name == "controls")
    assert (found.attempted, found.broken) == (4, 4)
    assert found.forward == result.controls[0].forward > 0
