"""What has to be equal before two evaluations are compared: radii and limits of every sample too."""

from typing import Any

import pytest
import torch
from torch import nn

import robcheck
from robcheck.harness.errors import UsageError
from robcheck.harness.results import Result
from robcheck.suites import Suite

SUITE = Suite.model_validate({"name": "tiny", "attacks": [{"attack": "pgd", "steps": 2}], "controls": "none"})
X = 0.4 + 0.2 * torch.rand(4, 12, generator=torch.Generator().manual_seed(1))
SMALL, LARGE = torch.tensor([0.01, 0.01, 0.01, 0.3]), torch.tensor([0.3, 0.3, 0.3, 0.01])


def run(model: nn.Module, **more: Any) -> Result:
    return robcheck.evaluate(model, X, model(X).argmax(dim=1), suite=SUITE, device="cpu", **more)


def box(width: float) -> dict[str, Any]:
    return {"box": (X - width, X + width)}


@pytest.mark.parametrize(
    ("old", "new"), [({"epsilon": LARGE}, {"epsilon": SMALL}), (box(0.3), box(0.01))], ids=["radii", "box"]
)
def test_a_baseline_under_other_limits_is_refused(old: dict[str, Any], new: dict[str, Any], linear: nn.Module) -> None:
    """Names, samples, smallest and largest radius are the same."""
    before = run(linear, **old)
    assert run(linear, **old, baseline=before, max_regression=0.1).regression is not None
    with pytest.raises(UsageError, match="another threat model"):
        run(linear, **new, baseline=before, max_regression=0.1)


def test_one_radius_for_all_is_told_by_itself(linear: nn.Module) -> None:
    assert run(linear, epsilon=0.01).threat == run(linear, epsilon=torch.full((4,), 0.01)).threat
    assert run(linear, epsilon=0.01).threat.limits_sha256 == ""
