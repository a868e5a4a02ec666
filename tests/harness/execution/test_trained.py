"""Networks that stand in for the target: where they are trained, and by which measure they are judged."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.results import Result
from robcheck.harness.rule import Rule
from robcheck.harness.stage import Surrogate
from robcheck.suites import Suite

N, SIDE = 40, 6


class Stretched(nn.Module):
    """Bright or dark, for pixels in [low, low + width]; remembers what it was asked about."""

    def __init__(self, low: float = 0.0, width: float = 1.0) -> None:
        super().__init__()
        self.low, self.width = low, width
        self.most, self.least, self.rows = -torch.inf, torch.inf, 0

    def forward(self, x: Tensor) -> Tensor:
        self.most, self.least = max(self.most, float(x.detach().max())), min(self.least, float(x.detach().min()))
        self.rows = max(self.rows, len(x))
        mean = ((x - self.low) / self.width).flatten(1).mean(dim=1) - 0.5
        return torch.stack([mean, -mean], dim=1)


@dataclass
class Rounded:
    """Two levels, far from the identity; remembers its largest batch, fails on batches of `refused`."""

    refused: int = 0
    largest: int = 0
    label: str = "rounded"
    random: bool = False
    surrogate: Surrogate = field(default_factory=lambda: Surrogate("identity", "for a test"))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        self.largest = max(self.largest, len(x))
        if len(x) == self.refused:
            raise RuntimeError("not this many")
        return (x > 0.5).to(x.dtype)

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x


def samples(low: float = 0.0, width: float = 1.0) -> tuple[Tensor, Tensor]:
    level = torch.where(torch.arange(N) % 2 == 0, 0.7, 0.3)[:, None, None, None]
    unit = level + 0.1 * torch.randn(N, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    x = low + width * unit.clamp(0, 1)
    return x, (torch.arange(N) % 2)


def evaluated(model: object, x: Tensor, y: Tensor, *, gradient: object, **given: object) -> Result:
    suite = Suite(name="t", attacks=[{"attack": "pgd", "steps": 4, "gradient": gradient}])  # type: ignore[list-item]
    return robcheck.evaluate(model, x, y, suite=suite, device="cpu", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [1.0, 255.0])
def test_a_bad_fit_is_bad_in_any_unit(width: float) -> None:
    x, y = samples(0.0, width)
    model = robcheck.load_model(Stretched(0.0, width), bounds=(0.0, width), device="cpu")
    gradient = {"kind": "reparameterised", "steps": 1}
    result = evaluated(model, x, y, gradient=gradient, epsilon=0.1, defenses=[Rounded()])
    assert "POOR_FIT" in {finding.code for finding in result.findings}


def test_a_student_learns_where_the_box_is() -> None:
    module = Stretched(2000.0, 1000.0)
    x, y = samples(2000.0, 1000.0)
    reach = 150.0
    result = evaluated(
        robcheck.load_model(module, device="cpu"),
        x,
        y,
        gradient={"kind": "distilled", "steps": 40},
        box=(x - reach, x + reach),
    )
    assert result.attacks[0].status == "ok"
    assert module.least >= float(x.min()) - reach - 1
    assert module.most <= float(x.max()) + reach + 1


def test_a_budget_that_training_spends_starves_the_attack() -> None:
    x, y = samples()
    result = evaluated(Stretched(), x, y, gradient="distilled", epsilon=0.1, max_passes=500, min_robust_accuracy=0.1)
    assert (result.attacks[0].status, str(result.verdict)) == ("starved", "INCONCLUSIVE")


@pytest.mark.parametrize("rule", ["single", "mean:3"])
def test_a_stage_that_fails_in_training_costs_its_attack_alone(rule: str) -> None:
    """Also where the number of draws is measured: the classifier is random in the eyes of the plan."""
    x, y = samples()
    given = [{"attack": "pgd", "gradient": "reparameterised"}, {"attack": "pgd", "gradient": "bpda", "name": "other"}]
    noise = "gaussian-noise:sigma=0.01"
    result = robcheck.evaluate(
        Stretched(),
        x,
        y,
        suite=Suite(name="t", attacks=given),  # type: ignore[arg-type]
        defenses=[noise, Rounded(refused=64)],
        decision_rule=rule,
        epsilon=0.1,
        batch_size=40,
        device="cpu",
    )
    assert [attack.status for attack in result.attacks] == ["crashed", "ok"]


@pytest.mark.slow
def test_training_asks_no_more_at_once_than_an_attack_may() -> None:
    module, stage = Stretched(), Rounded()
    x, y = samples()
    model = Pipeline(robcheck.load_model(module, device="cpu"), rule=Rule("mean", 5))
    noise = "gaussian-noise:sigma=0.05"
    gradient: dict[str, object] = {"kind": "distilled", "steps": 2}
    evaluated(model, x[:8], y[:8], gradient=gradient, epsilon=0.1, defenses=[noise], batch_size=10)
    assert module.rows <= 32  # the first look has 32 samples
    gradient = {"kind": "reparameterised", "steps": 1}
    more, labels = torch.cat([x] * 4), y.repeat(4)
    evaluated(Stretched(), more, labels, gradient=gradient, epsilon=0.1, defenses=[stage], batch_size=16)
    assert stage.largest <= 64  # a training step
