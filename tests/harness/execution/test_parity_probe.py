"""Twin and deployed model: what rounding may do, what chance may do, and what neither may."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from robcheck.harness.diagnosis import Probe
from robcheck.harness.diagnosis.contract.parity import parity
from robcheck.harness.execution.meter import Meter
from robcheck.harness.execution.probe import Asker
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import Finding

Function = Callable[[Tensor], Tensor]
WEIGHT = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
X = torch.rand(32, 6, generator=torch.Generator().manual_seed(1))


def model(x: Tensor) -> Tensor:
    return x @ WEIGHT.T


def noisy(sigma: float, shift: float = 0.0) -> Function:
    return lambda x: model(x) + shift + sigma * torch.randn(len(x), 3)


class Pair:
    """A deployed model and the twins that are said to be it."""

    def __init__(self, deployed: Function, exact: Function | None, bpda: Function | None = None, **info: Any) -> None:
        twin = info.pop("twin", Twin(available=exact is not None, reason="" if exact else "there is none"))
        self.info = ModelInfo(name="m", format="onnx", twin=twin, **info)
        self.deployed, self.twins = deployed, {"exact": exact, "bpda": exact if bpda is None else bpda}

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.deployed(x)

    def differentiable(self, gradient: str = "exact") -> Function | None:
        return self.twins[gradient]


def compared(deployed: Function, exact: Function | None, bpda: Function | None = None, **info: Any) -> Probe:
    torch.manual_seed(0)
    return Asker(Pair(deployed, exact, bpda, **info), X, Meter(len(X))).probe(8)  # type: ignore[arg-type]


def judged(deployed: Function, exact: Function | None, bpda: Function | None = None, **info: Any) -> Finding:
    return parity(compared(deployed, exact, bpda, **info), Pair(deployed, exact, **info).info)


@pytest.mark.parametrize(
    ("off", "twin", "severity"),
    [
        (1e-5, Twin(available=True), "ok"),
        (1e-2, Twin(available=True), "severe"),
        (1e-2, Twin(available=True, tolerance=2e-2), "ok"),
        (1e-2, Twin(available=True, step=0.02), "ok"),
        (float("nan"), Twin(available=True), "severe"),
        (float("inf"), Twin(available=True), "severe"),
    ],
)
def test_a_twin_may_be_off_by_rounding(off: float, twin: Twin, severity: str) -> None:
    assert judged(model, lambda x: model(x) + off, twin=twin).severity == severity


def test_a_twin_that_names_other_classes_is_no_twin() -> None:
    wide = Twin(available=True, tolerance=0.05)
    probe = compared(model, lambda x: model(x).flip(1), twin=wide)
    assert probe.twin_disagrees > 5
    near = compared(model, lambda x: model(x) + 0.01 * torch.tensor([1.0, -1.0, 0.5]), twin=wide)
    assert near.twin_disagrees == 0


def test_stand_ins_have_to_answer_the_same() -> None:
    rounds = {"obstacles": {"Round": "rounds"}}
    assert judged(model, model, lambda x: model(x) + 0.5, **rounds).code == "TWIN_PARITY"
    assert judged(model, model, model, **rounds).severity == "ok"


def test_only_all_twins_together_are_cut() -> None:
    def cut(x: Tensor) -> Tensor:
        return model(x.detach())

    rounds = {"obstacles": {"Round": "rounds"}}
    assert compared(model, cut, model, **rounds).cut_gradient == ""
    assert compared(model, cut, model).cut_gradient == ""
    assert "no gradient" in compared(model, cut, cut, **rounds).cut_gradient
    assert compared(model, None).no_gradient == "there is none"
    assert compared(model, None, model).no_gradient == ""


def test_a_twin_that_fails_or_answers_otherwise_is_a_finding() -> None:
    def fails(_: Tensor) -> Tensor:
        raise ValueError("boom\nmore")

    assert "boom" in compared(model, fails).cut_gradient
    assert judged(model, lambda x: model(x)[:, :2]).code == "TWIN_PARITY"


def test_labels_have_to_be_the_same_where_the_twin_is_sure() -> None:
    def labels(x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(model(x).argmax(dim=1), 3).float()

    assert judged(labels, model, output="labels").severity == "ok"
    assert judged(labels, lambda x: model(x).flip(1), output="labels").severity == "severe"


def test_random_twins_agree_in_the_mean() -> None:
    same = judged(noisy(0.3), noisy(0.3))
    assert same.severity == "ok"
    assert "mean" in same.message
    assert judged(noisy(0.3), noisy(0.3, shift=1.0)).severity == "severe"
    assert judged(noisy(0.3), noisy(0.3, shift=1.0), twin=Twin(available=True, step=0.7)).severity == "ok"


def test_chance_raises_no_alarm() -> None:
    """Twenty pairs of honest random models, 24 means each."""
    for seed in range(20):
        torch.manual_seed(seed)
        pair = Pair(noisy(0.3), noisy(0.3))
        assert parity(Asker(pair, X, Meter(32)).probe(8), pair.info).severity == "ok"


@pytest.mark.parametrize(
    ("deployed", "twin", "who"), [(noisy(0.3), model, "deployed model"), (model, noisy(0.3), "twin")]
)
def test_one_random_half_makes_two_models(deployed: Function, twin: Function, who: str) -> None:
    finding = judged(deployed, twin, random_operators=("RandomNormal",))
    assert finding.severity == "severe"
    assert who in finding.message


def test_operators_that_draw_make_two_equal_answers_random() -> None:
    probe = compared(model, model, random_operators=("Bernoulli",))
    assert probe.difference == 0
    assert probe.random
    assert parity(probe, Pair(model, model).info).severity == "ok"


def with_gradients(changed: Function, plain: Function) -> Function:
    """Answers otherwise as soon as somebody wants a gradient."""
    return lambda x: (changed if x.requires_grad and torch.is_grad_enabled() else plain)(x)


def test_a_model_is_asked_as_attacks_ask_it() -> None:
    sly = with_gradients(lambda x: model(0.5 * x), model)
    assert judged(sly, sly).severity == "severe"
    assert judged(model, model, sly, obstacles={"Round": "rounds"}).severity == "severe"


@pytest.mark.parametrize("kind", ["exact", "bpda"])
@pytest.mark.parametrize("changed", [lambda x: noisy(0.05)(0.5 * x), noisy(0.3)], ids=["mean", "width"])
def test_a_random_model_is_asked_as_attacks_ask_it(kind: str, changed: Function) -> None:
    honest = noisy(0.05)
    sly = with_gradients(changed, honest)
    twins = (sly, None) if kind == "exact" else (honest, sly)
    assert judged(honest, *twins, obstacles={"Round": "rounds"}).severity == "severe"
    assert judged(honest, honest, honest, obstacles={"Round": "rounds"}).severity == "ok"


def test_a_twin_that_is_another_model_off_the_samples() -> None:
    """It knows the clean samples, and answers about them as the deployed model does."""

    def elsewhere(x: Tensor) -> Tensor:
        known = (torch.cdist(x, X).amin(dim=1) < 1e-2)[:, None]
        return torch.where(known, model(x), -model(x))

    assert judged(model, model).severity == "ok"
    assert judged(model, elsewhere).code == "TWIN_PARITY"
    assert judged(model, elsewhere).severity == "severe"


def test_a_twin_that_fails_off_the_samples() -> None:
    def elsewhere(x: Tensor) -> Tensor:
        if bool((torch.cdist(x, X).amin(dim=1) > 1e-2).any()):
            raise RuntimeError("never seen")
        return model(x)

    found = judged(model, elsewhere)
    assert (found.code, found.severity) == ("TWIN_PARITY", "severe")
    assert "never seen" in found.message
