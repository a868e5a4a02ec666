"""Runs in which something is not as it seems: none of them may PASS."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.errors import DataError, ModelError, UsageError
from robcheck.harness.results import Result
from robcheck.suites import Suite


def model(seed: int = 0) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.data = torch.randn(weight.shape, generator=generator)
    return network


def data(network: nn.Module, n: int = 60) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, network(x).argmax(1)


def run(network: Any, x: Tensor, y: Tensor, *attacks: dict[str, Any], **more: Any) -> Result:
    suite = Suite.model_validate({"name": "s", "attacks": list(attacks) or [{"attack": "pgd", "steps": 10}]})
    return robcheck.evaluate(
        network, x, y, suite=suite, device="cpu", **{"epsilon": 0.01, "min_robust_accuracy": 0.3, **more}
    )


def codes(result: Result) -> set[str]:
    return {finding.code for finding in result.findings}


@pytest.mark.parametrize("entry", [{"attack": "pgd", "closest": 0.1}, {"attack": "square", "samples": 3, "queries": 5}])
def test_what_no_attack_touched_is_not_robust(entry: dict[str, Any]) -> None:
    network = model()
    result = run(network, *data(network), entry, epsilon=0.001)
    assert result.verdict == "INCONCLUSIVE"
    outcomes = [sample.outcome for sample in result.samples]
    assert outcomes.count("not_evaluated") >= 50
    assert any(line.startswith("NOT_EVALUATED") for line in result.against_pass)


def test_a_radius_of_zero_proves_nothing() -> None:
    network = model()
    result = run(network, *data(network), epsilon=0.0)
    assert result.verdict == "INCONCLUSIVE"
    assert "ZERO_RADIUS" in codes(result)


class Crowded(nn.Module):
    """Mixes neighbours in, but only in large batches."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = model()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 40:
            x = 0.5 * x + 0.5 * x.mean(dim=0, keepdim=True)
        scores: Tensor = self.inner(x)
        return scores


class Drifting(nn.Module):
    """Changes its answers after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = model(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        scores: Tensor = self.inner(x) * (1 if self.seen < 2000 else -1)
        return scores


@pytest.mark.parametrize(("make", "code"), [(Crowded, "BATCH_DEPENDENT"), (Drifting, "STATE_CHANGED")])
def test_a_model_that_is_not_one_function(make: type[nn.Module], code: str) -> None:
    x, y = data(model())
    result = run(make(), x, y)
    assert code in codes(result)
    assert result.verdict != "PASS"


@pytest.mark.parametrize("change", [lambda x: x.data.mul_(0.5), lambda x: x.clamp_(0, 1), lambda x: x.mul_(1.0)])
def test_a_model_that_writes_into_its_input_changes_nothing_of_ours(change: Any) -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model()

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.inner(x)
            change(x)
            return scores

    x, y = data(model())
    before = x.clone()
    result = run(Writing(), x, y, epsilon=0.05)
    assert torch.equal(x, before)
    assert (result.adversarial - before).abs().max() <= 0.05 + 1e-6
    assert result.clean_accuracy == 1.0


def test_a_model_that_ends_the_process_is_no_model() -> None:
    class Leaving(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            raise SystemExit(0)

    with pytest.raises(ModelError):
        run(Leaving(), torch.rand(4, 8), torch.zeros(4, dtype=torch.int64))


def test_a_box_that_float32_closes_is_refused() -> None:
    network = model()
    x = torch.full((3, 8), 1e8, dtype=torch.float64)
    with pytest.raises(DataError, match="float32"):
        run(network, x, torch.zeros(3, dtype=torch.int64), box=(x - 3.5, x + 3.5))


@pytest.mark.parametrize("more", [{"seed": -1}, {"seed": 1.5}, {"batch_size": 2.5}, {"norm": "l0", "epsilon": 1.7}])
def test_values_that_mean_nothing(more: dict[str, Any]) -> None:
    network = model()
    with pytest.raises(UsageError):
        run(network, *data(network, 4), **more)
