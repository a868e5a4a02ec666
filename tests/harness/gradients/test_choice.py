"""Which gradient is tried, which is taken, and what the plan says about it."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from robcheck.harness.attacks.pgd import PGD
from robcheck.harness.attacks.square import Square
from robcheck.harness.attacks.transfer import Transfer
from robcheck.harness.defenses import Jpeg, ResizePad
from robcheck.harness.gradients.ascent import Ascent
from robcheck.harness.gradients.choice import automatic, candidates
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.planner import plan, trials
from robcheck.harness.request import Request

ROUNDS = {"Round": "rounds", "Cast": "rounds"}


@dataclass
class Model:
    obstacles: dict[str, str]
    kinds: tuple[str, ...] = ("exact", "bpda")

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(name="m", format="onnx", obstacles=self.obstacles, twin=Twin(available=True))

    def logits(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 2)

    def differentiable(self, gradient: str = "exact"):
        return self.logits if gradient in self.kinds else None


def pipeline(obstacles: dict[str, str] | None = None, *stages: object, kinds: tuple[str, ...] = ("exact", "bpda")):
    return Pipeline(Model(obstacles or {}, kinds), stages)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (pipeline(), ("exact",)),
        (pipeline(ROUNDS), ("exact", "bpda")),
        (pipeline(ROUNDS, ResizePad()), ("exact", "bpda")),
        (pipeline(ROUNDS, Jpeg()), ("bpda-identity",)),
        (pipeline(None, Jpeg(), ResizePad()), ("bpda",)),
        (pipeline(ROUNDS, kinds=("bpda",)), ("exact", "bpda")),
        (pipeline(ROUNDS, kinds=()), ()),
    ],
)
def test_candidates(given: Pipeline, names: tuple[str, ...]) -> None:
    assert tuple(estimator.label for estimator in candidates(given)) == names


@pytest.mark.parametrize(
    ("exact", "bpda", "winner"),
    [
        (Ascent("exact", 16, 0, 0.0), Ascent("bpda", 16, 16, 3.1), "bpda"),
        (Ascent("exact", 16, 16, 3.1), Ascent("bpda", 16, 16, 3.0), "exact"),
        (Ascent("exact", 16, 16, 3.0), Ascent("bpda", 16, 16, 3.1), "exact"),
        (Ascent("exact", 16, 16, 3.0), Ascent("bpda", 16, 16, 3.3), "bpda"),
        (Ascent("exact", 16, error="no path"), Ascent("bpda", 16, 16, 0.0), "bpda"),
        (Ascent("exact", 16, error="no path"), Ascent("bpda", 16, 16, -0.5), "bpda"),
        (Ascent("exact", 16, 0, -1.0), Ascent("bpda", 16, error="no path"), "exact"),
        (Ascent("exact", 16, 0, 0.0), Ascent("bpda", 16, 0, 0.0), "exact"),
    ],
)
def test_the_larger_rise_wins_and_a_tie_is_exact(exact: Ascent, bpda: Ascent, winner: str) -> None:
    estimator, reason = automatic(pipeline(ROUNDS), (exact, bpda))
    assert estimator.label == winner
    assert reason.startswith("Round, Cast: ")


def test_large_logits_of_most_samples_do_not_outvote_the_others() -> None:
    """One sample of 16, on which the exact gradient is blind, has a thirtieth of the others' logits."""
    exact = Ascent("exact", 16, 15, 379.0, rises=(0.0,) + (404.0,) * 15)
    bpda = Ascent("bpda", 16, 16, 380.0, rises=(13.0,) + (404.0,) * 15)
    assert automatic(pipeline(ROUNDS), (exact, bpda))[0].label == "bpda"
    same = Ascent("bpda", 16, 15, 379.0, rises=exact.rises)
    assert automatic(pipeline(ROUNDS), (exact, same))[0].label == "exact"
    large = Ascent("bpda", 16, 16, 999.0, rises=(999.0 * 16,) + (0.0,) * 15)
    assert automatic(pipeline(ROUNDS), (exact, large))[0].label == "exact"


def test_the_plan_says_what_was_measured() -> None:
    measured = (Ascent("exact", 16, 0, 0.0), Ascent("bpda", 16, 16, 3.1234))
    request = Request(name="a", config=PGD())
    (step,) = plan([request], pipeline(ROUNDS), "linf", targeted=False, ascents=measured)
    assert step.gradient.label == "bpda"
    assert step.reason == "Round, Cast: bpda raises the deployed margin by 3.12, exact by 0"
    (fixed,) = plan(
        [Request(name="a", config=PGD(), gradient="exact")], pipeline(ROUNDS), "linf", targeted=False, ascents=measured
    )
    assert (fixed.runs, fixed.gradient.label, fixed.reason) == (True, "exact", "fixed by the suite")
    (unmeasured,) = plan([request], pipeline(ROUNDS), "linf", targeted=False)
    assert unmeasured.gradient.label == "bpda"


def test_only_gradients_that_an_attack_uses_are_tried() -> None:
    def tried(*requests: Request, norm: str = "linf") -> tuple[str, ...]:
        found = trials(list(requests), pipeline(ROUNDS), norm, targeted=False)  # type: ignore[arg-type]
        return tuple(estimator.label for estimator in found)

    assert tried(Request(name="a", config=PGD())) == ("exact", "bpda")
    assert tried(Request(name="a", config=PGD(), gradient="exact")) == ("exact",)
    assert tried(Request(name="a", config=Square())) == ()
    assert tried(Request(name="a", config=Transfer(source="surrogate"))) == ()
    assert tried(Request(name="a", config=PGD(), norms=("l2",))) == ()


def test_transfer_from_a_bare_model_with_obstacles_uses_stand_ins() -> None:
    request = Request(name="a", config=Transfer(source="twin"))
    (step,) = plan([request], pipeline(ROUNDS, Jpeg()), "linf", targeted=False)
    assert step.gradient.label == "bpda"
    (plain,) = plan([request], pipeline(None, Jpeg()), "linf", targeted=False)
    assert plain.gradient.label == "exact"
