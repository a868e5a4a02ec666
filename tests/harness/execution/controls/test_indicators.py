"""The six indicators: each fires for the failure that it is about, none for a sound attack on a sound model."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.arguments import as_pipeline
from robcheck.harness import evaluation
from robcheck.harness.attacks import ATTACKS
from robcheck.harness.diagnosis import CHECKS
from robcheck.harness.diagnosis.indicators import Indicators
from robcheck.harness.diagnosis.records import Probe, Records
from robcheck.harness.execution.controls.indicators import indicators
from robcheck.harness.execution.job import Job
from robcheck.harness.execution.lab import Lab, Left
from robcheck.harness.execution.trace import Seen, Trace
from robcheck.harness.execution.watched import table
from robcheck.harness.model_info import ModelInfo
from robcheck.harness.request import Request
from robcheck.harness.target import Problem

module = sys.modules[indicators.__module__]
SOUND = {"attack": "pgd", "steps": 12}


class Smooth(nn.Module):
    """Three classes of 12 features, the scores through a function at the end."""

    def __init__(self, back: Callable[[Tensor, Tensor], Tensor] = lambda z, x: z) -> None:  # noqa: ARG005
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 12, generator=torch.Generator().manual_seed(0)), requires_grad=False)
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        return self.back((x - 0.5) @ self.weight.T, x)


def lab_of(model: nn.Module, config: dict[str, Any], gradient: str = "exact", eps: float = 0.02) -> Lab:
    x = torch.rand(30, 12, generator=torch.Generator().manual_seed(1))
    job = Job(
        pipeline=as_pipeline(model, "cpu", (), None),
        x=x,
        y=Smooth()(x).argmax(dim=1),
        norm="linf",
        eps=torch.full((30,), eps),
        requests=[Request.model_validate({"name": "it", "config": config, "gradient": gradient})],
        controls="none",
    )
    done = evaluation.run(job)
    return Lab(done.campaign, done.steps, "indicators", Left.by(done.campaign))


def fired(found: Indicators) -> set[str]:
    """The indicators that fired on most samples."""
    return {name for name in found.values if sum(found.fired(name)) > len(found.rows) / 2}


def any_fired(found: Indicators) -> set[str]:
    return {name for name in found.values if any(found.fired(name))}


def test_a_sound_attack_on_a_sound_model_is_clear() -> None:
    found = indicators(lab_of(Smooth(), SOUND))
    assert found.samples > 10
    assert len(found.rows) == found.samples
    assert set(found.values) == {"I1", "I2", "I3", "I4", "I5", "I6"}
    assert any_fired(found) == set()
    assert found.of(found.rows[0]) == []
    assert found.of(-1) is None


def test_a_dead_gradient_is_i1() -> None:
    found = indicators(lab_of(Smooth(lambda z, _: 1e4 * z), {"attack": "apgd", "loss": "ce", "steps": 12}))
    assert "I1" in fired(found)


def test_a_trembling_model_is_i2() -> None:
    found = indicators(
        lab_of(Smooth(lambda z, x: z + 3 * (1e5 * x[:, :1]).sin() * (z == z.amax(1, keepdim=True))), SOUND)
    )
    assert "I2" in any_fired(found)


def test_steps_too_short_or_too_few_are_i4() -> None:
    assert fired(indicators(lab_of(Smooth(), {"attack": "pgd", "steps": 1}))) == {"I4"}
    assert "I4" in fired(indicators(lab_of(Smooth(), {"attack": "pgd", "steps": 20, "step_size": 0.005})))


def test_an_attack_that_forgets_what_it_found_is_i3(monkeypatch: pytest.MonkeyPatch) -> None:
    """PGD as it is, but what it returns is the sample itself."""
    spec = ATTACKS["pgd"]

    def forgetful(problem: Problem, config: Any) -> Tensor:
        spec.run(problem, config)
        return problem.x

    monkeypatch.setitem(ATTACKS, "pgd", replace(spec, run=forgetful))
    found = indicators(lab_of(Smooth(), SOUND, eps=0.15))
    assert sum(found.fired("I3")) / len(found.rows) > 0.2
    assert {"I3", "I6"} <= any_fired(found)


def test_a_stand_in_that_is_fooled_alone_is_i5(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gradient was taken of calls everything broken; the target stands."""
    answer = module.differentiation.answer

    def fooled(*arguments: Any) -> Any:
        found = answer(*arguments)
        return replace(found, broken=found.loss > -1e9)

    lab = lab_of(Smooth(), SOUND)
    monkeypatch.setattr(module.differentiation, "answer", fooled)
    found = indicators(lab)
    assert fired(found) >= {"I5"}


def test_the_end_of_the_climb() -> None:
    """By hand: twelve losses, the last three of them are the last quarter."""
    flat = torch.tensor([0.0, *range(1, 10), 9.0, 9.0, 9.0])[1:]
    rising = torch.arange(12.0)
    back = torch.tensor([0.0, 5.0, 10.0, 3.0, 1.0, 0.0, 2.0, 4.0, 6.0, 7.0, 8.0, 9.0])
    outside = rising.clone()
    outside[9:] = torch.nan
    values = module._unfinished(torch.stack([flat, rising, back, outside], dim=1).double())
    assert values.tolist() == pytest.approx([0.0, 3 / 11, 0.0, 0.0])
    assert module._unfinished(torch.zeros(12, 1).double()).tolist() == [0.0]
    assert module._unfinished(torch.zeros(3, 2).double()).tolist() == [1.0, 1.0]


def test_questions_as_a_table() -> None:
    dead = torch.tensor([False, True])
    first = Seen(torch.tensor([4, 7]), torch.tensor([1.0, 2.0]), torch.zeros(2), dead, dead)
    second = Seen(torch.tensor([7]), torch.tensor([3.0]), torch.zeros(1), dead[:1], dead[:1])
    found = table(Trace([first, second]), torch.tensor([7, 4]), "loss")
    assert found[0].tolist() == [2.0, 1.0]
    assert found[1, 0] == 3.0
    assert found[1, 1].isnan()


@pytest.mark.parametrize("number", range(1, 7))
def test_each_indicator_has_a_finding_of_its_own(number: int) -> None:
    name = f"I{number}"
    base = Records(
        samples=9, evaluated=9, classes=2, clean_accuracy=1.0, probe=Probe(), info=ModelInfo(name="m", format="torch")
    )
    check = next(check for check in CHECKS if check.code.startswith(f"{name}_"))
    assert check.needs == ("indicators",)

    def severities(values: tuple[float, ...]) -> list[str]:
        found = Indicators(20, "pgd", tuple(range(len(values))), {name: values})
        return [f.severity for f in check.findings(replace(base, outcomes={"indicators": found}))]

    assert severities((0.0,) * 20) == []
    assert severities(()) == []
    assert severities((1.0,) * 20) == ["severe"]
    one = severities((1.0,) + (0.0,) * 19)
    assert one == {"I2": [], "I3": ["severe"], "I4": []}.get(name, ["warning"])
    assert check.findings(base) == []
