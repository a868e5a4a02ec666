"""The table: every row is read by some plan, no two say the same, and the plan says what they say."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.apgd import APGD
from robcheck.harness.attacks.fab import FAB
from robcheck.harness.attacks.fgsm import FGSM
from robcheck.harness.attacks.hopskipjump import HopSkipJump
from robcheck.harness.attacks.latent import Latent
from robcheck.harness.attacks.pgd import PGD
from robcheck.harness.attacks.square import Square
from robcheck.harness.attacks.transfer import Transfer
from robcheck.harness.defenses import GaussianNoise, Jpeg, ResizePad
from robcheck.harness.gradients import Bpda, Exact, Nes, Smoothed
from robcheck.harness.gradients.ascent import Ascent
from robcheck.harness.gradients.ladder import ladder
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.planner import plan
from robcheck.harness.policy import HUGE_LOGITS, TABLE, Row, fitting
from robcheck.harness.request import Request
from robcheck.harness.stage import Surrogate
from robcheck.harness.step import Step
from robcheck.harness.traits import traits

AUTO = ("loss", "momentum", "step_size")
RANKS = {"TopK": "picks by rank, no gradient passes through the order"}
ROUNDS = {"Round": "rounds to whole numbers, the gradient is zero"}


class Model:
    def __init__(self, obstacles: dict[str, str] | None = None, twin: bool = True) -> None:
        given = Twin(available=twin, reason="" if twin else "Floor has no gradient")
        self.info = ModelInfo(name="m", format="torch", twin=given, obstacles=obstacles or {})
        self._twin = twin

    def logits(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 2)

    def differentiable(self, gradient: str = "exact"):  # noqa: ARG002
        return self.logits if self._twin else None


@dataclass
class Stage:
    kind: str = "opaque"
    label: str = "stage"
    random: bool = False
    reshapes: bool = False

    @property
    def surrogate(self) -> Surrogate:
        return Surrogate(self.kind, "because")  # type: ignore[arg-type]


@dataclass
class Optimising(Stage):
    steps: int = 3

    def unrolled(self, x: Tensor, stream: Any, last: int | None) -> Tensor:  # noqa: ARG002
        return x


class Detector:
    label, random = "detector", False

    def score(self, x: Tensor, logits: Tensor, stream: Any) -> Tensor:  # noqa: ARG002
        return x.flatten(1).sum(dim=1)


TARGETS: dict[str, Pipeline] = {
    "bare": Pipeline(Model()),
    "obstacle": Pipeline(Model(ROUNDS)),
    "sorting": Pipeline(Model(RANKS)),
    "blind": Pipeline(Model(twin=False)),
    "blind behind a stage": Pipeline(Model(twin=False), (Jpeg(),)),
    "noisy": Pipeline(Model(), noisy_classifier=True),
    "random": Pipeline(Model(), (GaussianNoise(),)),
    "identity": Pipeline(Model(), (Jpeg(),)),
    "opaque": Pipeline(Model(), (Stage(),)),
    "named": Pipeline(Model(ROUNDS), (Jpeg(), ResizePad())),
    "reshaped": Pipeline(Model(), (Stage("exact", reshapes=True),)),
    "detector": Pipeline(Model(), detector=Detector()),
    "optimising": Pipeline(Model(), (Optimising("identity"),)),
}

REQUESTS = [
    Request(name="pgd", config=PGD(), auto=AUTO),
    Request(name="fixed draws", config=PGD(), eot=3),
    Request(name="averaged", config=PGD(), gradient=Smoothed(), auto=AUTO),
    Request(name="misfit", config=PGD(), gradient="exact"),
    Request(name="joint", config=PGD(loss="joint")),
    Request(name="features", config=PGD(loss="match-features"), gradient=Nes()),
    Request(name="l2 only", config=PGD(), norms=("l2",)),
    Request(name="fab", config=FAB()),
    Request(name="latent", config=Latent(), auto=("loss",)),
    *[Request(name=f"transfer {s}", config=Transfer(source=s), auto=("momentum",))  # type: ignore[arg-type]
      for s in ("twin", "surrogate", "student")],
    Request(name="square", config=Square()),
    Request(name="hopskipjump", config=HopSkipJump()),
]  # fmt: skip


def steps_of(target: str, norm: str = "linf", *, scale: float = 1.0, targeted: bool = False) -> list[Step]:
    return plan(REQUESTS, TARGETS[target], norm, targeted=targeted, scale=scale)  # type: ignore[arg-type]


def read() -> set[Row]:
    """Every row that decided something for any of the targets, and every rung of a ladder."""
    found: set[Row] = set()
    for name, pipeline in TARGETS.items():
        for norm in ("linf", "l1", "l0"):
            for scale in (1.0, 2 * HUGE_LOGITS):
                found |= {row for step in steps_of(name, norm, scale=scale) for row in step.rows}
        for used in (None, Exact()):
            kinds = {rung.kind for rung in ladder(used, pipeline)}
            found |= {row for row in fitting("escalate", "climbing", traits(pipeline)) if row.value in kinds}
    return found


def test_every_row_is_read_by_some_plan() -> None:
    # Every attack has a targeted form and every model that offers features has them: those two rows wait for others.
    waiting = {row for row in TABLE if row.trait in ("no targeted form", "features from answers")}
    unread = [f"{row.field}: {row.families} {row.trait}" for row in TABLE if row not in read() | waiting]
    assert unread == []


def test_a_row_that_nothing_reads_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Row("momentum", ("climbing",), "any", 0.5, "never", "nobody")
    monkeypatch.setattr("robcheck.harness.policy.TABLE", (*TABLE, stranger))
    assert stranger not in read()


def test_rows_carry_reason_and_source_and_differ() -> None:
    keys = [(row.field, row.families, row.trait, row.also, row.value) for row in TABLE]
    assert len(set(keys)) == len(keys)
    assert all(row.source for row in TABLE)
    silent = {(row.field, row.trait) for row in TABLE if not row.reason}
    assert silent == {("loss", "any"), ("step_size", "any"), ("momentum", "any")}


def one(target: str, config: Any, *, scale: float = 1.0, ascents: tuple[Ascent, ...] = (), **more: Any) -> Step:
    request = Request(name="a", config=config, **more)
    return plan([request], TARGETS[target], "linf", targeted=False, scale=scale, ascents=ascents)[0]


@pytest.mark.parametrize(
    ("target", "scale", "config", "loss"),
    [
        ("bare", 1.0, APGD(), "ce"),
        ("bare", 1.0, PGD(), "margin"),
        ("bare", 3000.0, APGD(), "dlr"),
        ("detector", 1.0, PGD(), "joint"),
        ("detector", 3000.0, PGD(), "joint"),
        ("bare", 3000.0, FGSM(), "dlr"),
    ],
)
def test_the_loss_follows_the_target(target: str, scale: float, config: Any, loss: str) -> None:
    step = one(target, config, scale=scale, auto=("loss",))
    assert step.request.config.loss == step.entry().loss == step.entry().parameters["loss"] == loss
    assert one(target, config, scale=scale).request.config.loss == config.loss, "a fixed loss is respected"


def test_huge_logits_are_told_with_the_number() -> None:
    assert "3000" in one("bare", APGD(), scale=3000.0, auto=("loss",)).reason
    assert "3000" not in one("bare", APGD(), scale=3000.0).reason


def test_momentum_and_steps() -> None:
    assert one("random", APGD(momentum=0.9), auto=("momentum",)).entry().momentum == 0.0
    assert one("random", APGD(momentum=0.9)).entry().momentum == 0.9
    assert "no momentum" in one("random", PGD(), auto=("momentum",)).reason
    assert one("bare", PGD(), auto=("step_size",)).entry().step_size == "cosine from eps"
    assert one("bare", PGD(step_size=0.25)).entry().step_size == "0.25 eps"
    assert one("bare", Square()).entry().step_size == ""


def test_answers_and_draws() -> None:
    assert one("random", Square()).entry().answers == "mean of 5 draws"
    assert one("noisy", Square()).entry().answers == "mean of 16 draws"
    assert one("random", HopSkipJump()).entry().answers == "majority of 5 draws"
    assert one("bare", Square()).entry().answers == ""
    assert one("detector", HopSkipJump()).entry().answers == "accepted and wrong"
    assert one("random", Square(), eot=7).entry().answers == "mean of 7 draws"


def test_fab_is_left_out_on_random_targets_only_where_others_climb() -> None:
    alone = one("random", FAB())
    assert alone.runs
    both = plan([Request(name="p", config=PGD()), Request(name="f", config=FAB())], TARGETS["random"], "linf",
                targeted=False)  # fmt: skip
    assert [step.runs for step in both] == [True, False]
    assert not both[1].applies
    assert "not recommended" in both[1].reason
    assert both[1].entry().cost
    assert plan([both[0].request, both[1].request], TARGETS["bare"], "linf", targeted=False)[1].runs


def test_what_leaving_out_costs() -> None:
    assert "stands against a PASS" in one("blind", PGD()).entry().cost
    assert one("bare", PGD(loss="joint")).entry().cost == ""
    l1 = plan([Request(name="s", config=Square()), Request(name="p", config=PGD())], TARGETS["bare"], "l1",
              targeted=False)  # fmt: skip
    assert "masked" in l1[0].entry().cost
    assert l1[1].entry().cost == ""


def test_sorting_operators_are_climbed_on_smoothed_gradients_where_that_is_clearly_better() -> None:
    def climbed(smoothed: float) -> str:
        found = [("exact", 1.0), ("bpda", 1.0), ("smoothed", smoothed)]
        ascents = tuple(Ascent(name, 4, 4, rise, 0.0, (rise,) * 4) for name, rise in found)
        step = one("sorting", PGD(), ascents=ascents)
        assert step.gradient is not None
        return step.gradient.label

    assert climbed(1.5) == "smoothed"
    assert climbed(1.02) == "exact"


@pytest.mark.parametrize(
    ("target", "used", "kinds"),
    [
        ("bare", Exact(), ["smoothed", "nes", "distilled"]),
        ("blind", None, ["nes", "distilled"]),
        ("obstacle", Exact(), ["bpda", "smoothed", "nes", "distilled"]),
        ("obstacle", Bpda(), ["smoothed", "nes", "distilled"]),
        ("detector", Exact(), ["smoothed", "nes"]),
        ("named", Bpda(), ["bpda-identity", "smoothed", "nes", "reparameterised", "distilled"]),
        ("opaque", Nes(), ["reparameterised", "distilled"]),
    ],
)
def test_the_ladder_goes_on_from_the_kind_in_use(target: str, used: Any, kinds: list[str]) -> None:
    assert [rung.kind for rung in ladder(used, TARGETS[target])] == kinds


def test_every_attack_has_a_step_rule_or_takes_no_steps() -> None:
    for name, spec in ATTACKS.items():
        entry = one("bare", spec.config()).entry()
        assert bool(entry.step_size) is (spec.needs == "gradients"), name
