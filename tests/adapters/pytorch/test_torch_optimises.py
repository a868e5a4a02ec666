"""Models that optimise while they answer are found out by one look, and left as they were."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.adapters.pytorch.module import wrap_module
from robcheck.suites import Suite

X = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    """Linear, after something has happened to its input."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Purifies(Model):
    """Moves its input to a lower energy, as purification at test time does."""

    steps = 3

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            moved = x.detach().requires_grad_(True)
            for _ in range(self.steps):
                (gradient,) = torch.autograd.grad((moved**2).sum(), [moved])
                moved = (moved - 0.01 * gradient).detach().requires_grad_(True)
        return self.layer(moved + x - x.detach())


class Tunes(Model):
    """Calls backward on a loss of its own."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            extra = torch.zeros_like(x, requires_grad=True)
            ((x.detach() + extra) ** 2).sum().backward()
        return self.layer(x - 0.01 * extra.grad)


class Functional(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - 0.01 * torch.func.grad(lambda v: (v**2).sum())(x.detach()))


class Counts(Model):
    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return self.layer(x)


class Learns(Model):
    """Moves its weights without touching their version counters."""

    def forward(self, x: Tensor) -> Tensor:
        self.layer.bias.data += 1e-3 * x.detach().mean()
        return self.layer(x)


@pytest.mark.parametrize(
    ("kind", "passes", "rewrites"),
    [(Model, 0, False), (Purifies, 3, False), (Tunes, 1, False), (Functional, 1, False), (Counts, 0, True),
     (Learns, 0, True)],
)  # fmt: skip
def test_one_look_tells(kind: type[Model], passes: int, rewrites: bool) -> None:
    grad, backward = torch.autograd.grad, Tensor.backward
    classifier = wrap_module(kind().eval())
    classifier.logits(X)
    assert classifier.info.gradients_inside == passes
    assert classifier.info.rewrites_itself == rewrites
    assert torch.autograd.grad is grad
    assert Tensor.backward is backward


def test_a_gradient_of_robcheck_itself_is_none_of_the_model() -> None:
    """Attacks before and after the look change nothing."""
    classifier = wrap_module(Model().eval())
    x = X.clone().requires_grad_(True)
    forward = classifier.differentiable()
    torch.autograd.grad(forward(x).sum(), [x])
    classifier.logits(X)
    torch.autograd.grad(forward(x).sum(), [x])
    assert classifier.info.gradients_inside == 0


def evaluated(model: nn.Module, *attacks: dict[str, Any]) -> Any:
    x = torch.rand(30, 6, generator=torch.Generator().manual_seed(1))
    suite = Suite.model_validate({"name": "tiny", "attacks": list(attacks)})
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    return robcheck.evaluate(model, x, y, suite=suite, epsilon=0.05, device="cpu")


@pytest.mark.slow
def test_a_target_that_optimises_needs_attacks_around_the_loop() -> None:
    """A gradient through it alone is an upper bound that nobody checked."""
    pgd, square = {"attack": "pgd", "steps": 5}, {"attack": "square", "queries": 50}
    assert "OPTIMISES" not in {f.code for f in evaluated(Model().eval(), pgd).findings}
    alone = next(f for f in evaluated(Purifies().eval(), pgd).findings if f.code == "OPTIMISES")
    assert (alone.severity, alone.measured) == ("severe", 3)
    both = next(f for f in evaluated(Purifies().eval(), pgd, square).findings if f.code == "OPTIMISES")
    assert both.severity == "warning"
    assert "square" in both.message
