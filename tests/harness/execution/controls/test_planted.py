"""What is planted is there, sound attacks find it, and attacks on a gradient that lies do not."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.arguments import as_pipeline
from robcheck.harness import evaluation
from robcheck.harness.decision import Decision
from robcheck.harness.defenses.gaussian_noise import GaussianNoise
from robcheck.harness.diagnosis.low_power import LEVELS, Level, Power, low_power
from robcheck.harness.diagnosis.records import Probe, Records
from robcheck.harness.errors import NotApplicableError
from robcheck.harness.execution import planting
from robcheck.harness.execution.controls.planted import planted
from robcheck.harness.execution.job import Job
from robcheck.harness.execution.lab import Lab, Left
from robcheck.harness.geometry import Norm
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.request import Request
from robcheck.harness.threat import Ball

MARGIN = {"attack": "pgd", "steps": 20}
RADII: dict[Norm, float] = {"linf": 0.1, "l2": 0.5, "l1": 1.0, "l0": 3.0}


class Change(nn.Module):
    """A network of two layers that gives `scale` times its logits, seen through `front` and `back`."""

    def __init__(self, front: Any = lambda x: x, back: Any = lambda z: z) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(32, 64, generator=generator) / 8, requires_grad=False)
        self.second = nn.Parameter(torch.randn(5, 32, generator=generator), requires_grad=False)
        self.front, self.back = front, back

    def forward(self, x: Tensor) -> Tensor:
        return self.back(3 * torch.relu((2 * self.front(x).flatten(1) - 1) @ self.first.T) @ self.second.T)


def lab_of(model: Any, *attacks: dict[str, Any], norm: Norm = "linf", gradient: str = "auto", **more: Any) -> Lab:
    x = 0.1 + 0.8 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    pipeline = more.pop("pipeline", None) or as_pipeline(model, "cpu", more.pop("defenses", ()), None)
    requests = [
        Request.model_validate({"name": f"{number}", "config": config, "gradient": gradient})
        for number, config in enumerate(attacks or (MARGIN,))
    ]
    targets = (Change()(x).argmax(dim=1) + 1) % 5 if more.pop("targeted", False) else None
    job = Job(
        pipeline=pipeline,
        x=x,
        y=Change()(x).argmax(dim=1),
        norm=norm,
        eps=torch.full((len(x),), RADII[norm]),
        requests=requests,
        controls="none",
        targets=targets,
        **more,
    )
    if job.box is not None:
        job = replace(job, eps=None)
    done = evaluation.run(job)
    return Lab(done.campaign, done.steps, "planted", Left.by(done.campaign))


def shares(power: Power) -> dict[str, float]:
    return {level.name: level.found / level.planted for level in power.levels if level.planted}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_what_is_planted_is_there(norm: Norm, make_problem: Any) -> None:
    """By hand: a point of the ball whose scores, asked again, are those that the question is about."""
    model = Change()
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    problem = make_problem(model, x, model(x).argmax(dim=1), RADII[norm], norm)
    found = planting.plant(problem, torch.arange(12), 0.0, 0.0)
    assert found.rows.tolist() == list(range(12))
    assert Ball.create(x, RADII[norm], norm).contains(found.points).all()
    there, clean = (z - z.mean(dim=1, keepdim=True) for z in (model(found.points), model(x)))
    torch.testing.assert_close(found.answers, there)
    torch.testing.assert_close(found.way, (there - clean).norm(dim=1))
    for share in LEVELS.values():
        head = found.head(share, 12)
        assert (head(Decision(model(found.points)), found.rows).labels == 1).all()
        assert (head(Decision(model(x)), found.rows).labels == 0).all()


def test_the_question_is_a_distance_of_scores() -> None:
    """(0, r - |z - z*|), whatever constant is added to z; its slope is the one that differences see."""
    answers = torch.tensor([[1.0, 0.0, -1.0]])
    head = planting.Near(torch.tensor([-1, 0]), answers, torch.tensor([0.5]))
    z = torch.tensor([[4.0, 4.0, 1.0]])  # centred: 1, 1, -2
    rows = torch.tensor([1])
    expected = 0.5 - 2**0.5
    assert head(Decision(z), rows).logits.tolist() == [[0.0, pytest.approx(expected)]]
    assert head(Decision(z + 7), rows).logits[0, 1].item() == pytest.approx(expected)
    leaf = z.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(head(Decision(leaf), rows).logits[0, 1], [leaf])
    step = torch.tensor([[0.0, 1e-2, 0.0]])
    up, down = (head(Decision(z + way * step), rows).logits[0, 1] for way in (1, -1))
    assert slope[0, 1].item() == pytest.approx(float(up - down) / 2e-2, rel=1e-2)
    for scale in (1e-15, 1e15):
        wide = planting.Near(head.place, answers * scale, head.radius * scale)
        assert wide(Decision(z * scale), rows).logits[0, 1].item() == pytest.approx(expected * scale, rel=1e-4)


def test_no_answer_is_no_find() -> None:
    head = planting.Near(torch.tensor([0]), torch.zeros(1, 3), torch.tensor([0.5]))
    for wrong in (float("nan"), float("inf"), float("-inf")):
        answer = head(Decision(torch.tensor([[wrong, 0.0, 0.0]])), torch.tensor([0]))
        assert answer.logits.isfinite().all()
        assert answer.labels.item() == 0


SLOWLY = [pytest.param(k, marks=pytest.mark.slow) for k in ("linf", "l1", "targeted", "tiny logits", "softmax")]


@pytest.mark.parametrize("kind", ["l2", "box", "huge logits", *SLOWLY])
def test_a_sound_plan_finds_it_and_one_step_does_not(kind: str) -> None:
    back = {"tiny logits": lambda z: z / 1e3, "huge logits": lambda z: z * 1e3, "softmax": lambda z: z.softmax(dim=1)}
    more: dict[str, Any] = {"targeted": kind == "targeted"}
    if kind == "box":
        x = 0.1 + 0.8 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        more["box"] = ((x - 0.05).clamp(0, 1), (x + 0.15).clamp(0, 1))
    norm: Norm = kind if kind in ("l2", "l1") else "linf"  # type: ignore[assignment]
    power = planted(lab_of(Change(back=back.get(kind, lambda z: z)), MARGIN, norm=norm, **more))
    found = shares(power)
    assert set(found) == set(LEVELS)
    assert found["easy"] >= 0.9
    assert found["middle"] >= 0.6
    assert all(level.by_one_step <= level.planted / 10 for level in power.levels if level.name == "hard")
    assert all(level.by_chance <= level.planted / 10 for level in power.levels if level.name == "hard")
    assert judged(power) is None


LIES: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    "detached": (Change(lambda x: x.detach() + 0 * x), MARGIN),
    "rounded": (Change(lambda x: (x * 7).round() / 7), MARGIN),
    "saturated": (Change(back=lambda z: z * 1000), {"attack": "apgd", "loss": "ce", "steps": 30}),
}


@pytest.mark.parametrize("kind", LIES)
def test_a_gradient_that_lies_finds_nothing(kind: str) -> None:
    model, config = LIES[kind]
    power = planted(lab_of(model, config, gradient="exact"))
    assert shares(power)["easy"] < 0.5
    assert judged(power) == "severe"


@pytest.mark.parametrize(
    "config", [{"attack": "pgd", "steps": 1}, {"attack": "fgsm"}, {"attack": "pgd", "steps": 20, "step_size": 0.01}]
)
def test_a_weak_attack_has_no_power(config: dict[str, Any]) -> None:
    assert judged(planted(lab_of(Change(), config))) == "severe"


@pytest.mark.slow
def test_a_random_stage_is_held_still() -> None:
    power = planted(lab_of(Change(), MARGIN, defenses=[GaussianNoise(sigma=0.05)]))
    assert shares(power)["easy"] >= 0.9


class Loaded:
    """A classifier whose adapter knows that its scores have steps."""

    def __init__(self, module: nn.Module, step: float, output: str = "logits") -> None:
        twin = Twin(available=True, step=step)
        self.module, self.info = module, ModelInfo(name="m", format="torch", output=output, twin=twin)  # type: ignore[arg-type]

    def logits(self, x: Tensor) -> Tensor:
        return self.module(x)

    def differentiable(self, gradient: str = "exact") -> Any:  # noqa: ARG002
        return self.module


def test_a_level_finer_than_the_steps_of_the_scores_is_left_out() -> None:
    power = planted(lab_of(Loaded(Change(), 0.4)))
    planted_at = {level.name: level.planted for level in power.levels}
    assert planted_at["easy"] > 16
    assert planted_at["hard"] == 0
    assert [level.name for level in power.record.levels] == [n for n, count in planted_at.items() if count]
    with pytest.raises(NotApplicableError, match="so few values"):
        planted(lab_of(Loaded(Change(), 1e3)))


def test_where_nothing_can_be_planted() -> None:
    with pytest.raises(NotApplicableError, match="labels alone"):
        planted(lab_of(Loaded(Change(), 0.0, output="labels")))
    with pytest.raises(NotApplicableError, match="riddle"):
        planted(lab_of(Change(), norm="l0"))
    with pytest.raises(NotApplicableError, match="no entry"):
        planted(lab_of(Change(), {"attack": "hopskipjump", "queries": 50}))


def test_a_point_that_moves_nothing_is_not_planted(make_problem: Any) -> None:
    """Rounded pixels, half of the samples too far from the next level."""
    model = Change(lambda x: x.round())
    x = torch.full((6, 1, 8, 8), 0.3)
    x[::2] = 0.45
    found = planting.plant(make_problem(model, x, model(x).argmax(dim=1), 0.1), torch.arange(10, 16), 0.0, 0.0)
    assert found.rows.tolist() == [10, 12, 14]


def told(power: Power) -> Records:
    return Records(
        samples=1,
        evaluated=1,
        classes=2,
        clean_accuracy=1.0,
        probe=Probe(),
        info=ModelInfo(name="m", format="torch"),
        outcomes={"planted": power},
    )


def judged(power: Power) -> str | None:
    found = low_power(told(power))
    assert all(finding.code in ("LOW_POWER", "LOW_POWER_MIDDLE", "LOW_POWER_HARD") for finding in found)
    return found[0].severity if found else None


@pytest.mark.parametrize(
    ("level", "planted_at", "found", "severity"),
    [
        ("easy", 32, 32, None),
        ("easy", 32, 25, None),
        ("easy", 32, 20, "severe"),
        ("easy", 2, 1, None),
        ("easy", 4, 0, "severe"),
        ("middle", 32, 8, "warning"),
        ("middle", 32, 2, "severe"),
        ("hard", 32, 0, "warning"),
        ("hard", 32, 24, None),
        ("hard", 0, 0, None),
    ],
)
def test_power_is_judged_by_difficulty(level: str, planted_at: int, found: int, severity: str | None) -> None:
    power = Power(32, (Level(level, planted_at, found, 0, 0),), ("pgd",))
    assert judged(power) == severity


def test_the_worst_level_speaks() -> None:
    power = Power(32, (Level("easy", 32, 9, 0, 0), Level("hard", 32, 0, 0, 0)), ("pgd",))
    assert judged(power) == "severe"


def test_each_level_has_a_code_of_its_own_so_that_a_waiver_speaks_of_one() -> None:
    power = Power(32, (Level("easy", 32, 9, 0, 0), Level("middle", 32, 1, 0, 0), Level("hard", 32, 0, 0, 0)), ("pgd",))
    assert [(f.code, f.severity) for f in low_power(told(power))] == [
        ("LOW_POWER", "severe"),
        ("LOW_POWER_MIDDLE", "severe"),
    ]


def test_pixels_rounded_more_coarsely_than_the_radius_are_left_alone() -> None:
    with pytest.raises(NotApplicableError, match="rounded more coarsely"):
        planted(lab_of(Change(), MARGIN, defenses=["bit-depth:bits=3"]))
    assert planted(lab_of(Change(), MARGIN, defenses=["bit-depth:bits=6"])).levels[0].found > 25
