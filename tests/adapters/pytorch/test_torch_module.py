"""A module as a classifier: frozen, in evaluation mode, with randomness and preprocessing of its own."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from robcheck.adapters.pytorch.classifier import TorchClassifier
from robcheck.adapters.pytorch.module import wrap_module
from robcheck.harness.classifier import Classifier
from robcheck.harness.errors import DeviceError, ModelError, RobcheckError, UsageError


def net(*tail: nn.Module) -> nn.Sequential:
    """A small convolutional model (N, 3, 4, 4) -> (N, 5) with fixed weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.Linear(16, 5), *tail)


class Calling(nn.Module):
    """A module around a function, with a weight."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x * self.scale)


def rows(x: Tensor) -> Tensor:
    return x.flatten(1)[:, :3]


X = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_it_is_a_classifier_and_leaves_the_callers_module_alone() -> None:
    module = net()
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    classifier = wrap_module(module)
    assert isinstance(classifier, Classifier)
    assert torch.equal(classifier.logits(X), classifier.logits(X))
    assert all(part.training for part in module.modules())
    assert all(weight.requires_grad for weight in module.parameters())
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())
    assert "training mode" in classifier.info.notes[0]
    assert torch.equal(classifier.logits(X), module.eval()(X).detach())
    assert wrap_module(module).info.notes == ()


def test_info_is_complete_after_the_first_batch() -> None:
    classifier = wrap_module(net().eval(), name="small")
    assert classifier.info.input_shape is None
    classifier.logits(X)
    info = classifier.info
    assert (info.name, info.format, info.input_shape, info.classes) == ("small", "torch", (3, 4, 4), 5)
    assert (info.output, info.device, info.twin.available) == ("logits", "cpu", True)
    assert info.sha256 == wrap_module(net()).info.sha256 != wrap_module(net(nn.Linear(5, 5))).info.sha256


def test_logits_have_no_gradient_and_the_twin_has_one() -> None:
    classifier = wrap_module(net())
    x = X.clone().requires_grad_()
    logits = classifier.logits(x)
    assert not logits.requires_grad
    assert (logits * x.new_ones(5).requires_grad_()).requires_grad  # no inference tensor: usable later
    for kind in ("exact", "bpda"):
        forward = classifier.differentiable(kind)  # type: ignore[arg-type]
        assert forward is not None
        (gradient,) = torch.autograd.grad(forward(x).sum(), x)
        assert gradient.abs().sum() > 0
    assert torch.equal(forward(x).detach(), logits)
    assert all(weight.grad is None for weight in classifier._module.parameters())


def test_preprocessing_is_inside() -> None:
    assert torch.equal(wrap_module(Calling(rows), input_range=(0, 255)).logits(X), rows(X) * 255)
    normalised = wrap_module(Calling(rows), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).logits(X)
    assert torch.allclose(normalised, rows(X) * 2 - 1, atol=1e-6)
    last = wrap_module(Calling(lambda z: z[:, 0, 0, :]), layout="nhwc")
    assert torch.equal(last.logits(X), X[:, :, 0, 0])
    assert last.info.input_shape == (3, 4, 4)
    assert torch.equal(wrap_module(Calling(rows), input_range=(0, 255)).own_units(X), rows(X))


@pytest.mark.parametrize(
    ("pack", "word"),
    [
        (lambda z: (rows(z), z), "tuple"),
        (lambda z: [rows(z)], "list"),
        (lambda z: {"loss": z.sum(), "logits": rows(z)}, "dict"),
        (lambda z: SimpleNamespace(logits=rows(z)), "SimpleNamespace"),
    ],
)
def test_packed_outputs_are_unpacked_and_noted(pack: Callable[[Tensor], Any], word: str) -> None:
    classifier = wrap_module(Calling(pack).eval())
    for _ in range(2):
        assert torch.equal(classifier.logits(X), rows(X))
    assert len(classifier.info.notes) == 1
    assert word in classifier.info.notes[0]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda z: z.flatten(1)[:, 0], "one logit per class"),
        (lambda z: z.flatten(1)[:, :1], "one logit per class"),
        (lambda z: rows(z)[:1], "for 6 samples"),
        (lambda z: rows(z).argmax(dim=1, keepdim=True).expand(-1, 2), "int64"),
        (lambda *_: None, "no tensor"),
        (lambda z: z.reshape(-1, 7, 11), r"fails on an input of shape \(6, 3, 4, 4\)"),
        (lambda *_: {}["missing\nkey"], "KeyError"),
    ],
)
def test_a_module_that_cannot_be_used_is_named_in_one_sentence(function: Callable[[Tensor], Any], words: str) -> None:
    classifier = wrap_module(Calling(function))
    with pytest.raises(ModelError, match=words) as caught:
        classifier.logits(X)
    assert "\n" not in str(caught.value)


def test_the_class_count_and_the_batch_are_checked() -> None:
    with pytest.raises(ModelError, match="returns 5 classes where 10"):
        wrap_module(net(), classes=10).logits(X)
    with pytest.raises(ModelError, match="no batch"):
        wrap_module(net()).logits(X.flatten())
    assert wrap_module(net()).logits(X[:0]).shape == (0, 5)


def test_probabilities_become_logs_in_both_forwards() -> None:
    classifier = wrap_module(net(nn.Softmax(dim=1)).eval())
    logits = classifier.logits(X)
    assert classifier.info.output == "probabilities"
    assert "softmax" in classifier.info.notes[0]
    assert torch.allclose(logits, torch.log_softmax(wrap_module(net()).logits(X), dim=1), atol=1e-5)
    forward = classifier.differentiable()
    assert forward is not None
    x = X.clone().requires_grad_()
    assert torch.equal(forward(x).detach(), logits)
    hard = wrap_module(Calling(lambda z: torch.eye(3)[:1].expand(len(z), 3) + 0 * rows(z)))
    assert torch.isfinite(hard.logits(X)).all()


def test_log_probabilities_and_logits_are_told_apart() -> None:
    classifier = wrap_module(net(nn.LogSoftmax(dim=1)))
    assert torch.allclose(classifier.logits(X).exp().sum(dim=1), torch.ones(6))
    assert classifier.info.output == "log-probabilities"
    half = wrap_module(net(nn.Softmax(dim=1)).half())
    half.logits(X)
    assert half.info.output == "probabilities"


def test_the_sigmoid_at_the_end_is_undone() -> None:
    classifier = wrap_module(net(nn.Sigmoid()))
    assert torch.allclose(classifier.logits(X), wrap_module(net()).logits(X), atol=1e-5)
    assert classifier.info.output == "sigmoids"
    assert any("saturation" in note for note in classifier.info.notes)
    inside = wrap_module(Calling(lambda z: rows(z).sigmoid() * 1))
    assert torch.equal(inside.logits(X), rows(X).sigmoid())
    assert inside.info.output == "logits"
    steep = wrap_module(Calling(lambda z: (1000 * rows(z) - 500).sigmoid()))
    assert torch.isfinite(steep.logits(X)).all()


def test_labels_are_no_probabilities() -> None:
    labels = torch.nn.functional.one_hot(rows(X).argmax(dim=1), 3).float()
    classifier = wrap_module(Calling(lambda z: torch.nn.functional.one_hot(rows(z).argmax(dim=1), 3).float()))
    assert torch.equal(classifier.logits(X), labels)
    assert classifier.info.output == "labels"
    assert any("labels alone" in note for note in classifier.info.notes)


def test_nan_passes_and_decides_nothing() -> None:
    classifier = wrap_module(Calling(lambda z: rows(z) / (z.flatten(1).sum(dim=1, keepdim=True) * 0)))
    assert torch.isinf(classifier.logits(X)).all()
    undecided = wrap_module(Calling(lambda z: torch.softmax(rows(z).log(), dim=1)))
    assert undecided.logits(-X).isnan().all()
    assert undecided.info.input_shape is None
    undecided.logits(X)
    assert undecided.info.output == "probabilities"


def test_other_number_types_are_served() -> None:
    for kind in (torch.float64, torch.bfloat16):
        logits = wrap_module(net().to(kind)).logits(X)
        assert logits.dtype == torch.float32
        assert torch.allclose(logits, wrap_module(net()).logits(X), atol=0.1)


def noisy() -> TorchClassifier:
    return wrap_module(Calling(lambda z: rows(z) + torch.randn(len(z), 3)))


def test_randomness_is_private_and_advances() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = noisy(), noisy()
    a, b = first.logits(X), first.logits(X)
    forward = first.differentiable()
    assert forward is not None
    c = forward(X)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(a, b)
    assert not torch.equal(b, c)
    torch.manual_seed(8)
    assert torch.equal(second.logits(X), a), "the caller's generator is not read either"


def test_the_generator_is_restored_when_the_module_fails() -> None:
    def failing(_: Tensor) -> Tensor:
        torch.rand(3)
        raise ValueError("no")

    before = torch.get_rng_state()
    with pytest.raises(ModelError):
        wrap_module(Calling(failing)).logits(X)
    assert torch.equal(before, torch.get_rng_state())


class StubbornDropout(nn.Dropout):
    """Monte-Carlo dropout, as people write it."""

    def train(self, _: bool = True) -> "StubbornDropout":
        self.training = True
        return self


class RandomNoiseLayer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


class SignDesign(nn.Identity):
    pass


class Assignment(nn.Identity):
    pass


def test_obstacles_are_named() -> None:
    found = wrap_module(net(StubbornDropout(), RandomNoiseLayer(), SignDesign(), Assignment())).info.obstacles
    assert set(found) == {"StubbornDropout", "RandomNoiseLayer", "SignDesign"}
    assert "training mode" in found["StubbornDropout"]


def test_modules_in_a_plain_list_are_pointed_out() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = [nn.Dropout()]

        def forward(self, x: Tensor) -> Tensor:
            return rows(self.blocks[0](x))

    assert "'blocks'" in wrap_module(Listed().eval()).info.notes[0]


def test_the_callers_own_module_answers_and_keeps_its_state() -> None:
    """No copy is taken (with a lock inside none could be): the caller's counters and hooks see every call."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.seen = net(), 0
            self.lock = threading.Lock()

        def forward(self, x: Tensor) -> Tensor:
            self.seen += len(x)
            return cast(Tensor, self.inner(x))

    module = Counting()
    classifier = wrap_module(module)
    classifier.logits(X)
    assert module.seen == 2 * len(X), "the first batch is asked twice"
    classifier.logits(X)
    assert module.seen == 3 * len(X)
    assert module.training
    assert all(weight.requires_grad for weight in module.parameters())
    module.inner.register_forward_hook(lambda *_: pytest.fail("training") if module.inner.training else None)
    classifier.logits(X)


@pytest.mark.parametrize("copy", [True, False])
def test_a_buffer_that_the_module_writes_keeps_no_graph(copy: bool) -> None:
    class Averaging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("last", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            self.mean.mul_(0.9).add_(rows(x).square().mean(dim=0))
            self.last = rows(x)[0] * 2
            return rows(x) * self.mean * self.last

    module = Averaging().eval()
    forward = wrap_module(module, copy=copy).differentiable()
    for _ in range(2):
        x = X.clone().requires_grad_()
        assert torch.autograd.grad(forward(x).sum(), x)[0].abs().sum() > 0
        assert module.mean.is_leaf
        assert module.last.is_leaf
        assert module.mean.sum() > 0


def test_the_first_answer_is_the_one_without_gradients() -> None:
    """A module that looks whether gradients are enabled deploys the branch without; the twin runs the other."""
    module = Calling(lambda z: rows(z) ** 2 if torch.is_grad_enabled() else rows(z) + 0.01 * torch.randn(len(z), 3))
    classifier = wrap_module(module.eval())
    before = classifier._random.state
    first = classifier.logits(X)
    after = classifier._random.state
    classifier._random.state = before
    assert torch.equal(classifier.logits(X), first)
    assert all(torch.equal(one, other) for one, other in zip(after[:1], classifier._random.state[:1], strict=True))
    assert (first - rows(X)).abs().max() < 0.1
    assert torch.equal(classifier.differentiable()(X.clone().requires_grad_()).detach(), rows(X) ** 2)


def test_an_error_of_the_house_passes_through() -> None:
    def refusing(_: Tensor) -> Tensor:
        raise UsageError("mine")

    with pytest.raises(RobcheckError, match=r"^mine$"):
        wrap_module(Calling(refusing)).logits(X)


def test_devices_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert wrap_module(net(), device="auto").info.device == "cpu"
    for name in ("cuda", "cuda:0", "tpu", "cuda:x", ""):
        with pytest.raises(DeviceError) as caught:
            wrap_module(net(), device=name)
        assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu_and_keeps_its_randomness_private() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_cpu, on_cuda = wrap_module(net()), wrap_module(net(), device="cuda")
    before = torch.cuda.get_rng_state()
    assert torch.allclose(on_cuda.logits(X), on_cpu.logits(X), atol=1e-3)
    drawing = wrap_module(Calling(lambda z: rows(z) + torch.randn(len(z), 3, device=z.device)), device="cuda")
    assert not torch.equal(drawing.logits(X), drawing.logits(X))
    assert torch.equal(before, torch.cuda.get_rng_state())
