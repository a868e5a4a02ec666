"""Which attack runs on which gradient, and what the plan says about it."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.hopskipjump import HopSkipJump
from robcheck.harness.attacks.pgd import PGD
from robcheck.harness.attacks.square import Square
from robcheck.harness.attacks.transfer import Transfer
from robcheck.harness.defenses import Jpeg, ResizePad
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline, Surrogate
from robcheck.harness.planner import plan
from robcheck.harness.request import Request
from robcheck.harness.rule import Rule

DEFAULT_DRAWS, QUERY_DRAWS, UNKEYED_DRAWS = 20, 5, 16


class Model:
    def __init__(self, twin: bool = True) -> None:
        reason = "" if twin else "Floor has no gradient"
        self.info = ModelInfo(name="m", format="torch", twin=Twin(available=twin, reason=reason))
        self._twin = twin

    def logits(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 2)

    def differentiable(self, gradient: str = "exact"):  # noqa: ARG002
        return self.logits if self._twin else None


@dataclass
class Stage:
    kind: str
    random: bool = False
    label: str = "stage"

    @property
    def surrogate(self) -> Surrogate:
        return Surrogate(self.kind, "because")  # type: ignore[arg-type]


def decide(stages: tuple[object, ...] = (), norm: str = "linf", twin: bool = True, noisy: bool = False, **request):
    given = {"name": "a", "config": PGD(), **request}
    targeted = given.pop("targeted", False)
    pipeline = Pipeline(Model(twin), stages, noisy_classifier=noisy)  # type: ignore[arg-type]
    return plan([Request(**given)], pipeline, norm, targeted=targeted)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stages", "gradient"),
    [
        ((), "exact"),
        ((ResizePad(),), "exact"),
        ((Jpeg(),), "bpda-identity"),
        ((Stage("named"),), "bpda"),
        ((Stage("identity"), Stage("named")), "bpda"),
        ((Jpeg(), ResizePad()), "bpda"),
        ((Stage("opaque"), Stage("named")), "bpda-identity"),
        ((Stage("opaque"),), "bpda-identity"),
    ],
)
def test_auto_takes_the_gradient_that_the_stages_declare(stages: tuple[object, ...], gradient: str) -> None:
    step = decide(stages)
    assert step.runs
    assert step.gradient.label == gradient
    assert step.reason


@pytest.mark.parametrize(
    ("stages", "gradient", "runs"),
    [
        ((Jpeg(),), "exact", False),
        ((Jpeg(),), "bpda", True),
        ((Stage("opaque"),), "bpda", False),
        ((Stage("opaque"),), "bpda-identity", True),
        ((), "bpda", True),
    ],
)
def test_a_fixed_gradient_runs_or_says_why_not(stages: tuple[object, ...], gradient: str, runs: bool) -> None:
    step = decide(stages, gradient=gradient)
    assert step.runs is runs
    assert step.applies
    assert (step.gradient is not None and step.gradient.label == gradient) is runs
    assert runs or stages[0].label in step.reason  # type: ignore[attr-defined]


def test_no_twin_no_gradient() -> None:
    step = decide(twin=False)
    assert (step.runs, step.applies) == (False, True)
    assert "Floor has no gradient" in step.reason
    assert decide(twin=False, config=Transfer(source="surrogate")).runs
    bare = decide((Jpeg(),), twin=False, config=Transfer(source="twin"))
    assert (bare.runs, bare.applies) == (False, True)


def test_draws() -> None:
    assert decide().draws == 1
    assert decide((ResizePad(),)).draws == DEFAULT_DRAWS
    assert decide(noisy=True).draws == DEFAULT_DRAWS
    assert f"{DEFAULT_DRAWS} draws" in decide(noisy=True).reason
    assert decide((ResizePad(),), eot=3).draws == 3
    assert decide(eot=5).draws == 1
    assert "one draw is enough" in decide(eot=5).reason
    assert decide((ResizePad(),), eot=1).draws == 1


@pytest.mark.parametrize("eot", [0, -1, True, 2.5, "5"])
def test_a_number_of_draws_is_a_positive_whole_number(eot: object) -> None:
    with pytest.raises(ValueError, match="eot"):
        Request(name="a", config=PGD(), eot=eot)  # type: ignore[arg-type]


def test_transfer() -> None:
    assert not decide(config=Transfer(source="twin")).applies
    step = decide((Jpeg(),), config=Transfer(source="twin"))
    assert step.runs
    assert not step.blackbox
    surrogate = decide(config=Transfer(source="surrogate"))
    assert surrogate.runs
    assert surrogate.blackbox


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "latent"])  # which asks for more than norms
def test_norms_and_goals_that_an_attack_does_not_have(name: str) -> None:
    spec = ATTACKS[name]
    for norm in ("linf", "l2", "l1", "l0"):
        step = decide(norm=norm, config=spec.config())
        assert step.applies is (norm in spec.norms)
        assert step.runs <= step.applies
        if not step.applies:
            assert norm in step.reason
    assert decide(config=spec.config(), targeted=True).applies is spec.targeted
    assert decide(config=spec.config()).blackbox is (spec.needs != "gradients" or name == "transfer")


def test_entries_say_everything() -> None:
    entry = decide((ResizePad(),), config=PGD(steps=3), samples=20, closest=0.5, at_least=4, name="mine").entry()
    assert (entry.name, entry.attack, entry.gradient, entry.eot, entry.runs) == ("mine", "pgd", "exact", 20, True)
    assert entry.parameters["steps"] == 3
    assert {"samples": 20, "closest": 0.5, "at_least": 4}.items() <= entry.parameters.items()
    assert "attack" not in entry.parameters
    assert "closest" not in decide().entry().parameters


def test_order_is_kept() -> None:
    requests = [Request(name=n, config=ATTACKS[n].config()) for n in reversed(ATTACKS)]
    steps = plan(requests, Pipeline(Model()), "linf", targeted=False)  # type: ignore[arg-type]
    assert [s.request.name for s in steps] == list(reversed(ATTACKS))


def test_draws_behind_an_answer() -> None:
    def draws(config: object, *stages: object, noisy: bool = False, rule: str = "single") -> int:
        pipeline = Pipeline(Model(), stages, noisy_classifier=noisy, rule=Rule.parse(rule))  # type: ignore[arg-type]
        return plan([Request(name="a", config=config)], pipeline, "linf", targeted=False)[0].draws  # type: ignore[arg-type]

    assert draws(Square()) == 1
    assert draws(Square(), ResizePad()) == draws(HopSkipJump(), ResizePad()) == QUERY_DRAWS
    assert draws(Square(), noisy=True) == UNKEYED_DRAWS
    assert draws(HopSkipJump(), noisy=True) == QUERY_DRAWS
    # What the product averages already is averaged once.
    assert draws(Square(), ResizePad(), rule="mean:30") == 1
    assert draws(Square(), ResizePad(), rule="mean:2") == 3
