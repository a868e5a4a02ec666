"""Every attack in every setting: it runs, stays inside, tells the observer, and never flatters."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.attacks import ATTACKS
from robcheck.harness.execution.observer import Silent
from robcheck.harness.results import AttackRecord, PlanEntry, Result
from robcheck.suites import Suite

SMALL: dict[str, dict[str, Any]] = {
    "pgd": {"steps": 4},
    "apgd": {"steps": 6},
    "fab": {"steps": 4, "targets": 2},
    "transfer": {"steps": 4},
    "square": {"queries": 20},
    "hopskipjump": {"queries": 60},
    "genattack": {"queries": 20},
}
PGD = {"attack": "pgd", "steps": 10}


class Pictures(nn.Module):
    """Two layers over images (N, 1, 6, 6) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(16, 36, generator=generator), requires_grad=False)
        self.second = nn.Parameter(torch.randn(3, 16, generator=generator), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return ((x - 0.5).flatten(1) @ self.first.T).tanh() @ self.second.T


def pictures(n: int = 14) -> tuple[Tensor, Tensor]:
    x = (torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2).clamp(0, 1)
    return x, Pictures()(x).argmax(dim=1)


def everything() -> Suite:
    attacks = [{"attack": name, **SMALL.get(name, {})} for name in ATTACKS]
    attacks += [{"attack": "transfer", "source": "twin", "steps": 4}, {**PGD, "targets": 2, "name": "aimed"}]
    return Suite.model_validate({"name": "everything", "attacks": attacks})


def run(model: Any, x: Tensor, y: Tensor, *attacks: dict[str, Any], **more: Any) -> Result:
    chosen = Suite.model_validate({"name": "tiny", "attacks": list(attacks)}) if attacks else everything()
    return robcheck.evaluate(model, x, y, **{"suite": chosen, "device": "cpu", "controls": "none", **more})


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "linf", "epsilon": 0.02},
        {"norm": "l2", "epsilon": 0.1},
        {"norm": "l1", "epsilon": 0.3},
        {"norm": "l0", "epsilon": 1},
        {"norm": "linf", "epsilon": 0.02, "defenses": ["jpeg:quality=90"]},
        pytest.param(
            {"norm": "l2", "epsilon": 0.1, "defenses": ["jpeg", "resize-pad:smallest=0.7"]}, marks=pytest.mark.slow
        ),
        {"box": True},
        {"bounds": (0.0, 255.0), "epsilon": 0.02},
        {"bounds": (-1.0, 1.0), "norm": "l1", "epsilon": 0.3},
        {"targets": True, "epsilon": 0.05},
        {"epsilon": 0.0},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_attack_runs_in_every_setting(options: dict[str, Any]) -> None:
    x, y = pictures()
    options = dict(options)
    low, high = options.pop("bounds", (0.0, 1.0))
    inner = Pictures()

    class Scaled(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return inner((points - low) / (high - low))

    model: Any = Pictures() if (low, high) == (0, 1) else robcheck.load_model(Scaled(), bounds=(low, high))
    if options.pop("targets", False):
        options["targets"] = (y + 1) % 3
    if options.pop("box", False):
        options["box"] = (x - 0.02, x + 0.01)
    x = x * (high - low) + low
    result = run(model, x, y, **options)
    assert {record.status for record in result.attacks} <= {"ok", "idle", "not_applicable"}, result.attacks
    assert sum(record.invalid for record in result.attacks) == 0
    assert len(result.attacks) == len(result.plan) == len(everything().attacks)
    if options.get("epsilon") == 0.0:
        assert result.robust_accuracy == result.clean_accuracy == 1
        assert torch.equal(result.adversarial, x)
    for sample in result.samples:
        assert (sample.broken_by is not None) == (sample.outcome == "broken")
    Result.model_validate_json(result.model_dump_json())


def test_worst_cases_only_get_worse() -> None:
    x, y = pictures()
    result = run(Pictures(), x, y, epsilon=0.02)
    accuracies = [record.robust_accuracy for record in result.attacks]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[-1] == result.robust_accuracy
    assert sum(record.broken for record in result.attacks) == sum(s.outcome == "broken" for s in result.samples)
    for i, record in enumerate(result.attacks):
        standing = 14 - sum(r.broken for r in result.attacks[:i])
        assert record.attempted in (0, standing)
    by_name = {r.name: 0 for r in result.attacks}
    for sample in result.samples:
        if sample.broken_by:
            by_name[sample.broken_by] += 1
    assert by_name == {r.name: r.broken for r in result.attacks}


def test_no_adversarial_point_is_farther_from_falling_than_the_sample() -> None:
    model = Pictures()
    x, y = pictures(40)
    result = run(model, x, y, {**PGD, "steps": 1}, {"attack": "transfer", "steps": 2}, epsilon=0.01)

    def margin(points: Tensor) -> Tensor:
        logits = model(points)
        return logits.scatter(1, y[:, None], float("-inf")).amax(dim=1) - logits.gather(1, y[:, None]).squeeze(1)

    assert (margin(result.adversarial) >= margin(x) - 1e-6).all()


class Listener(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []
        self.passes = 0
        self.robust: list[float] = []

    def planned(self, plan: list[PlanEntry]) -> None:
        self.told.append(f"planned {len(plan)}")

    def clean(self, accuracy: float, classes: int, samples: int) -> None:
        self.told.append(f"clean {accuracy:g} {classes} {samples}")

    def started(self, what: str, samples: int, passes: int) -> None:  # noqa: ARG002
        self.told.append(f"started {what} {samples}")

    def advanced(self, standing: int, robust_accuracy: float) -> None:  # noqa: ARG002
        self.robust.append(robust_accuracy)

    def passed(self, passes: int) -> None:
        self.passes += passes

    def finished(self, record: AttackRecord) -> None:
        self.told.append(f"finished {record.name} {record.status}")


def test_the_observer_hears_everything_in_order() -> None:
    x, y = pictures()
    listener = Listener()
    result = run(Pictures(), x, y, PGD, {"attack": "apgd", "steps": 5}, epsilon=0.01, observer=listener)
    assert listener.told[:3] == ["started clean 14", "clean 1 3 14", "started contract: ascent 14"]
    assert listener.told[3] == "planned 2"
    assert [t for t in listener.told if t.startswith("finished")] == ["finished pgd ok", "finished apgd ok"]
    assert listener.told.index("started pgd 14") < listener.told.index("finished pgd ok")
    assert listener.passes == result.passes.forward + result.passes.backward
    assert listener.robust[-1] == result.robust_accuracy
    assert listener.robust[1:] == sorted(listener.robust[1:], reverse=True)


def test_limited_blackbox_attacks_come_back_when_one_succeeds(linear: nn.Module) -> None:
    """The gradient lies, so the black-box attack breaks one of its few samples and then takes all the others."""

    class Lying(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, points: Tensor) -> Tensor:  # noqa: ARG004
            return points.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return -gradient

    class Model(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return linear(Lying.apply(points))

    x = 0.4 + 0.2 * torch.rand(40, 12, generator=torch.Generator().manual_seed(1))
    y = linear(x).argmax(dim=1)
    limited = {"attack": "square", "queries": 300, "samples": 3}
    lying = run(Model(), x, y, PGD, limited, epsilon=0.2)
    assert lying.attacks[1].attempted == 40 - lying.attacks[0].broken > 30
    assert lying.attacks[1].broken > 30
    honest = run(linear, x, y, PGD, limited, epsilon=0.02)
    assert honest.attacks[1].attempted == 3


def test_an_interrupted_control_cannot_pass(linear: nn.Module) -> None:
    """All attacks are done and the number would pass, but what was to check them never ran."""
    x = 0.4 + 0.2 * torch.rand(60, 12, generator=torch.Generator().manual_seed(1))
    y = linear(x).argmax(dim=1)

    class Stop(Listener):
        def started(self, what: str, samples: int, passes: int) -> None:
            super().started(what, samples, passes)
            if what.startswith("control"):
                raise KeyboardInterrupt

    gate: dict[str, Any] = {"epsilon": 0.001, "min_robust_accuracy": 0.5, "controls": "standard"}
    assert run(linear, x, y, PGD, **gate).verdict == "PASS"
    result = run(linear, x, y, PGD, **gate, observer=Stop())
    assert not result.complete
    assert result.verdict == "INCONCLUSIVE"


def test_a_random_model_that_nobody_attacks_is_not_broken(linear: nn.Module) -> None:
    """With eps 0 nothing can be done: fresh draws of a coin toss are no attack, and a break names who did it."""

    class Noisy(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return linear(points) + 2.0 * torch.randn(len(points), 3)

    x = 0.4 + 0.2 * torch.rand(60, 12, generator=torch.Generator().manual_seed(1))
    y = linear(x).argmax(dim=1)
    result = run(Noisy(), x, y, {**PGD, "steps": 1, "eot": 2}, epsilon=0.0)
    assert result.robust_accuracy <= result.clean_accuracy
    for sample in result.samples:
        assert (sample.broken_by is not None) == (sample.outcome == "broken"), sample
