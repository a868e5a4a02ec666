"""Modules that answer with a class and a rejection score: by key, field or place, each with its own gradient."""

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.adapters.load import load_model
from robcheck.adapters.pytorch.module import wrap_module
from robcheck.harness.classifier import FeatureTwin, RejectingClassifier
from robcheck.harness.errors import UsageError

X = torch.rand(16, 3, 2, 2, generator=torch.Generator().manual_seed(0))
Both = namedtuple("Both", "score scores")


class Detecting(nn.Module):
    """Two heads on one layer; `pack` makes of logits (N, 4) and distance (N, 1) what the module returns."""

    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.first, self.head, self.detector = nn.Linear(12, 6), nn.Linear(6, 4), nn.Linear(6, 1)
        self.pack = pack

    def body(self, x: Tensor) -> Tensor:
        return torch.tanh(self.first(x.flatten(1)))

    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        return self.pack(self.head(features), 4 * self.detector(features))


def parts(x: Tensor = X) -> tuple[Tensor, Tensor]:
    """Logits and distance of the modules here."""
    return Detecting(lambda a, b: (a, b))(x)


ABOVE = float(parts()[1].detach().median())
PACKS: dict[str, tuple[Callable[[Tensor, Tensor], Any], str | int]] = {
    "place": (lambda a, b: (a, b), 1),
    "place as text": (lambda a, b: (a, b[:, 0]), "1"),
    "from the end": (lambda a, b: [a, b], -1),
    "first": (lambda a, b: (b, a), 0),
    "key": (lambda a, b: {"energy": b[:, 0], "scores": a}, "energy"),
    "key beside logits": (lambda a, b: {"z": b, "rest": b, "logits": a}, "z"),
    "field": (lambda a, b: Both(b, a), "score"),
    "attribute": (lambda a, b: SimpleNamespace(ood=b, logits=a), "ood"),
    "float64": (lambda a, b: (a, b.double()), 1),
}


@pytest.mark.parametrize("name", PACKS)
def test_both_answers_are_the_modules(name: str) -> None:
    pack, output = PACKS[name]
    model = wrap_module(Detecting(pack).eval(), reject_output=output, reject_above=ABOVE)
    assert isinstance(model, RejectingClassifier)
    logits, excess = model.with_rejection(X)
    wanted, distance = (part.detach() for part in parts())
    torch.testing.assert_close(logits, wanted)
    torch.testing.assert_close(excess, distance[:, 0] - ABOVE)
    assert 0 < int((excess > 0).sum()) < len(X)
    assert torch.equal(model.logits(X), logits)
    assert (logits.requires_grad, excess.requires_grad) == (False, False)
    x = X.clone().requires_grad_()
    reference = parts(x)
    for kind in ("exact", "bpda"):
        found = model.differentiable_rejection(kind)(x)  # type: ignore[arg-type]
        for ours, theirs in zip(found, (reference[0], reference[1][:, 0]), strict=True):
            (slope,) = torch.autograd.grad(ours.sum(), x, retain_graph=True)
            (expected,) = torch.autograd.grad(theirs.sum(), x, retain_graph=True)
            torch.testing.assert_close(slope, expected)
        assert torch.equal(model.differentiable(kind)(x).detach(), logits)  # type: ignore[arg-type]
    info = model.info.rejection
    assert info is not None
    assert (info.output, info.above) == (str(output), ABOVE)
    assert not any("may be a rejection" in note for note in model.info.notes)


def test_a_flag_has_the_gradient_of_a_soft_step() -> None:
    model = wrap_module(Detecting(lambda a, b: (a, b > ABOVE)).eval(), reject_output=1, reject_above=0.5)
    _, excess = model.with_rejection(X)
    assert set(excess.tolist()) == {-0.5, 0.5}
    assert torch.equal(excess > 0, parts()[1][:, 0] > ABOVE)
    assert "gt" in model.info.obstacles
    x = X.clone().requires_grad_()
    soft = model.differentiable_rejection("bpda")(x)[1]
    assert torch.equal(soft.detach(), excess)
    (slope,) = torch.autograd.grad(soft.sum(), x)
    y = X.clone().requires_grad_()
    distance = parts(y)[1][:, 0]
    (straight,) = torch.autograd.grad(distance.sum(), y)
    step = 5 / (1 + 10 * (distance.detach() - ABOVE).abs()) ** 2
    torch.testing.assert_close(slope, step[:, None, None, None] * straight, atol=1e-5, rtol=1e-4)
    assert model.differentiable_rejection("exact") is None, "there is no such gradient past the detector"
    assert model.differentiable("exact")(x).requires_grad


@pytest.mark.parametrize(
    ("pack", "output", "above", "words"),
    [
        (lambda a, b: {"energy": b, "logits": a}, "enrgy", 0.5, ["did you mean 'energy'", "'logits' (16, 4)"]),
        (lambda a, b: (a, b), 2, 0.5, ["no output 2", "0 (16, 4)"]),
        (lambda a, b: (a, b), "energy", 0.5, ["no output 'energy'"]),
        (lambda a, b: {"logits": a, "z": b}, "logits", 0.5, ["no rejection score", "'z' (16, 1)"]),
        (lambda a, b: (a, b.mean()), 1, 0.5, ["1 ()"]),
        (lambda a, b: (a, [b]), 1, 0.5, ["1 list"]),
        (lambda a, _: a, 1, 0.5, ["no output 1"]),
        (lambda a, b: (a, b > 0), 1, 1.5, ["reject nothing"]),
    ],
)
def test_what_cannot_be_a_score_is_refused(pack: Any, output: Any, above: float, words: list[str]) -> None:
    model = wrap_module(Detecting(pack).eval(), reject_output=output, reject_above=above)
    with pytest.raises(UsageError) as caught:
        model.logits(X)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_half_a_declaration_is_refused() -> None:
    module = Detecting(lambda a, b: (a, b))
    for options in ({"reject_output": 1}, {"reject_above": 0.5}, {"reject_output": 1, "reject_above": float("nan")}):
        with pytest.raises(UsageError, match="--reject"):
            load_model(module, **options)  # type: ignore[arg-type]
    model = load_model(module, reject_output=1, reject_above=0.5)
    with pytest.raises(UsageError, match="loaded"):
        load_model(model, reject_output=1, reject_above=0.5)


def test_an_undeclared_score_is_pointed_out() -> None:
    model = wrap_module(Detecting(lambda a, b: {"logits": a, "energy": b}).eval())
    model.logits(X)
    assert not isinstance(model, RejectingClassifier)
    assert any("--reject-output energy" in note for note in model.info.notes)
    labels = wrap_module(Detecting(lambda a, _: (a, a.argmax(dim=1))).eval())
    labels.logits(X)
    assert not any("--reject-output" in note for note in labels.info.notes)


def test_the_kind_of_the_class_scores_is_judged_by_themselves() -> None:
    """A sigmoid per class, and a detector that ends otherwise; and the other way round."""
    model = wrap_module(Detecting(lambda a, b: (a.sigmoid(), b * 2)).eval(), reject_output=1, reject_above=0.5)
    torch.testing.assert_close(model.logits(X), parts()[0].detach(), atol=1e-5, rtol=1e-5)
    assert model.info.output == "sigmoids"
    clamped = Detecting(lambda a, b: (a.clamp(0, 1), b.sigmoid())).eval()
    model = wrap_module(clamped, reject_output=1, reject_above=0.5)
    model.logits(X)
    assert model.info.output == "logits"
    assert any("rejection score ends in a sigmoid" in note for note in model.info.notes)


def test_both_answers_rest_on_one_draw() -> None:
    def drawing(a: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn(len(a), 1)
        return a * 0 + noise, noise

    model = wrap_module(Detecting(drawing).eval(), reject_output=1, reject_above=0.0)
    for logits, excess in (model.with_rejection(X), model.differentiable_rejection()(X)):
        assert torch.equal(logits[:, 0], excess)
    assert "randn" in model.info.random_operators


@pytest.mark.parametrize("borrowed", [True, False])
def test_features_are_what_the_layer_of_the_scores_takes(borrowed: bool) -> None:
    module = Detecting(lambda a, b: (a.softmax(dim=1), b)).eval()
    model = wrap_module(module, reject_output=1, reject_above=0.5, copy=borrowed)
    assert isinstance(model, FeatureTwin)
    assert model.features() is None, "before the first batch nothing is known"
    model.logits(X)
    expected = module.body(X)
    for kind in ("exact", "bpda"):
        x = X.clone().requires_grad_()
        found = model.features(kind)(x)  # type: ignore[arg-type, misc]
        torch.testing.assert_close(found, expected)
        assert torch.autograd.grad(found.sum(), x)[0].abs().sum() > 0
    assert not any(part._forward_hooks for part in module.modules())
    convolutional = wrap_module(nn.Sequential(nn.Conv2d(3, 5, 2), nn.Flatten()).eval())
    convolutional.logits(X)
    assert convolutional.features() is None


def test_the_gradient_check_sees_the_classes_alone() -> None:
    model = wrap_module(Detecting(lambda a, b: (a, b)).eval(), reject_output=1, reject_above=0.5)
    logits = model.logits(X)
    double = model.double()
    assert double is not None
    assert double(X.double()).dtype == torch.float64
    torch.testing.assert_close(double(X.double()).float(), logits)
    torch.testing.assert_close(model.own_units(X), logits)
