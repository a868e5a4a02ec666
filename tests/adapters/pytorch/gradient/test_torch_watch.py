"""What is seen of a module before it is attacked, and what becomes of modules that stand-ins do not fit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.adapters.pytorch.module import wrap_module
from robcheck.harness.errors import ModelError

X = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))


class Calling(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def seen(function: Callable[[Tensor], Any]) -> set[str]:
    classifier = wrap_module(Calling(function).eval())
    classifier.logits(X)
    return set(classifier.info.obstacles)


def quiet(x: Tensor) -> Tensor:
    with torch.no_grad():
        y = x * 2
    return x + y


def constant_positions(x: Tensor) -> Tensor:
    with torch.no_grad():
        place = torch.arange(x.shape[1]).float().round().sign()
        chosen = place.argmax() + (place > 1).long().sum()
    return x * place.detach() + chosen + torch.ones_like(x.round() * 0) * 0


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: x.relu().softmax(1).clamp(0, 1), set()),
        (lambda x: x.max(dim=1, keepdim=True).values + x, set()),
        (lambda x: x.gather(1, x.max(dim=1, keepdim=True).indices) + x, {"max"}),
        (lambda x: x.sort(dim=1).values, set()),
        (constant_positions, {"round"}),
        (lambda x: x + torch.randn(3), {"randn"}),
        (lambda x: nn.functional.dropout(x, training=False), set()),
        (lambda x: torch.zeros_like(x).copy_(x).round_(), {"round"}),
        (lambda x: x.to(torch.int32).double(), {"to(int32)"}),
        (lambda x: x * x.mean().item(), {"item"}),
        (lambda x: x.view(torch.int32).bitwise_and(-2).view(torch.float32), {"view(int32)", "bitwise_and", "detach"}),
        (lambda x: x.div(0.5, rounding_mode="floor"), {"div(floor)"}),
        (lambda x: torch.round(x * x.detach()), {"round", "detach"}),
        (lambda x: (x > 0.5).float() * x.to(torch.uint8), {"gt", "to(uint8)"}),
        (lambda x: nn.functional.dropout(x, 0.5, training=True), {"bernoulli"}),
        (quiet, {"no_grad"}),
        (lambda x: (x.half() if x.dtype == torch.float32 else x).float(), set()),
    ],
)
def test_operations_on_the_way_of_the_input(function: Callable[[Tensor], Tensor], names: set[str]) -> None:
    assert seen(function) == names


class Shy(nn.Module):
    """Fails when its operations are watched."""

    def forward(self, x: Tensor) -> Tensor:
        if torch._C._len_torch_dispatch_stack():
            raise ValueError("not with me")
        return torch.round(x * 3)


def test_what_cannot_be_watched_may_hold_any_obstacle() -> None:
    classifier = wrap_module(Shy().eval())
    assert torch.equal(classifier.logits(X), torch.round(X * 3))
    assert set(classifier.info.obstacles) == {"unseen operations"}
    x = X.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(classifier.differentiable("bpda")(x).sum(), x)[0], torch.full_like(X, 3))


class OwnBackward(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return 3 * gradients[0]


def test_a_backward_of_its_own_is_kept_and_noted() -> None:
    classifier = wrap_module(Calling(OwnBackward.apply).eval())
    classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    x = X.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(forward(x).sum(), x)[0], torch.full_like(X, 3))
    assert set(classifier.info.obstacles) == {"round"}
    assert any("OwnBackward has a backward of its own" in note for note in classifier.info.notes)


class Observant(nn.Module):
    """Notices that somebody looks."""

    def __init__(self, failing: bool) -> None:
        super().__init__()
        self.failing = failing

    def forward(self, x: Tensor) -> Tensor:
        if torch._C._len_torch_function_stack():
            if self.failing:
                raise ValueError("not with me")
            return x.round() * 2
        return x.round() + x


@pytest.mark.parametrize(("failing", "words"), [(True, "not with me"), (False, "answers otherwise")])
def test_a_module_that_stand_ins_change_keeps_its_exact_gradient(failing: bool, words: str) -> None:
    classifier = wrap_module(Observant(failing).eval())
    logits = classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    x = X.clone().requires_grad_()
    assert torch.equal(forward(x).detach(), logits)
    assert torch.equal(torch.autograd.grad(forward(x).sum(), x)[0], torch.ones_like(X))
    assert any("bpda is the exact one" in note and words in note for note in classifier.info.notes)


def test_a_batch_that_fails_with_stand_ins_gets_no_other_gradient() -> None:
    class Fragile(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 4 and torch._C._len_torch_function_stack():
                raise ValueError("too many")
            return x.round() + x

    classifier = wrap_module(Fragile().eval())
    logits = classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    assert torch.equal(forward(X[:4].requires_grad_()).detach(), logits[:4])
    for _ in range(2):
        with pytest.raises(ModelError, match="too many"):
            forward(X.clone().requires_grad_())
    assert torch.equal(forward(X[:4].requires_grad_()).detach(), logits[:4])


def test_where_a_gradient_ends_in_a_later_batch_is_noted() -> None:
    def branching(x: Tensor) -> Tensor:
        return x.round() + (x.argsort(dim=1) if len(x) > 2 else x)

    classifier = wrap_module(Calling(branching).eval())
    classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert not any("argsort" in note for note in classifier.info.notes)
    forward(X.clone().requires_grad_())
    assert any("no surrogate for argsort" in note for note in classifier.info.notes)


def test_weights_that_the_module_does_not_own_are_no_detach() -> None:
    outside = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(dim=1))
    assert seen(outside) == set()
    assert seen(lambda x: outside(x.detach())) == {"detach"}
    ending = wrap_module(Calling(lambda x: outside(x).sigmoid()).eval())
    ending.logits(X)
    assert ending.info.output == "sigmoids"


def test_looking_moves_no_random_number() -> None:
    def noisy(x: Tensor) -> Tensor:
        return x.round() + torch.randn(len(x), 3)

    looked, plain = (wrap_module(Calling(noisy).eval()) for _ in range(2))
    assert torch.equal(looked.logits(X), plain.logits(X))
    assert looked.differentiable("bpda") is not None
    assert torch.equal(looked.logits(X), plain.logits(X))
    assert looked.info.random_operators == ("randn",)


def test_a_module_with_a_cut_has_a_twin_only_with_stand_ins() -> None:
    classifier = wrap_module(Calling(lambda x: x.detach() * 2).eval())
    classifier.logits(X)
    assert not classifier.differentiable("exact")(X.clone().requires_grad_()).requires_grad
    forward = classifier.differentiable("bpda")
    x = X.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(forward(x).sum(), x)[0], torch.full_like(X, 2))
    dead = wrap_module(Calling(lambda x: x.argsort(dim=1).float()).eval())
    dead.logits(X)
    assert not dead.differentiable("bpda")(X.clone().requires_grad_()).requires_grad
    assert any("no surrogate for argsort" in note for note in dead.info.notes)


def test_a_scripted_part_is_pointed_out() -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        inner = torch.jit.trace(nn.Linear(3, 3), X)
    classifier = wrap_module(nn.Sequential(inner, Calling(torch.round)).eval())
    assert torch.equal(classifier.logits(X), classifier.logits(X))
    assert classifier.differentiable("bpda") is not None
    assert any("which is compiled" in note for note in classifier.info.notes)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_module_is_attacked_uncompiled() -> None:
    module = torch.compile(Calling(lambda x: torch.round(x * 3)).eval(), backend="eager")
    classifier = wrap_module(module)
    classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    x = X.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(forward(x).sum(), x)[0], torch.full_like(X, 3))
    assert set(classifier.info.obstacles) == {"round"}


def test_state_that_the_module_keeps_stays_without_a_gradient() -> None:
    module = Calling(lambda x: x.round())
    module.function = lambda x: (module.mean.mul_(0.9).add_(x.mean()), x.round())[1]
    classifier = wrap_module(module.eval())
    classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    x = X.clone().requires_grad_()
    for _ in range(2):
        assert torch.autograd.grad(forward(x).sum(), x)[0].abs().sum() > 0
    assert not module.mean.requires_grad


def test_transforms_of_functions_are_left_alone_and_noted() -> None:
    classifier = wrap_module(Calling(torch.vmap(lambda row: torch.round(row * 3) + row)).eval())
    logits = classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    assert torch.equal(forward(X.clone().requires_grad_()).detach(), logits)
    assert any("no surrogate for torch.func" in note for note in classifier.info.notes)
