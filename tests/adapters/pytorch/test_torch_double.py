"""The float64 copy of a module: the same function, more digits, nothing of the original touched."""

import threading

import pytest
import torch
from torch import Tensor, nn

from robcheck.adapters import wrap_module
from robcheck.harness.classifier import DoubleTwin

X = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, last: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm, self.last = nn.Linear(48, 5), nn.BatchNorm1d(5), last or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.linear(x.flatten(1))))


def test_it_is_the_same_function_in_float64() -> None:
    for last in (nn.Identity(), nn.Softmax(dim=1), nn.LogSoftmax(dim=1)):
        module = Net(last)
        classifier = wrap_module(module, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
        single = classifier.logits(X)
        assert isinstance(classifier, DoubleTwin)
        forward = classifier.double()
        assert forward is not None
        x = X.double().requires_grad_(True)
        answer = forward(x)
        assert answer.dtype == torch.float64
        torch.testing.assert_close(answer.float(), single, atol=1e-5, rtol=1e-5)
        (gradient,) = torch.autograd.grad(answer[:, 0].sum(), [x])
        assert gradient.abs().sum() > 0
        assert module.linear.weight.dtype == torch.float32
        assert module.training
        assert torch.equal(classifier.logits(X), single)


def test_float32_in_the_code_becomes_float64() -> None:
    outside = nn.Linear(48, 5).requires_grad_(False)

    class Careless(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = outside(x.float().flatten(1)) + torch.ones(len(x), 5, dtype=torch.float32)
            z[:, 0] = torch.zeros(()).to(torch.float32)
            return z.type(torch.float32).to(z.type_as(outside.weight)) / torch.tensor(3.0)

    classifier = wrap_module(Careless())
    single, forward = classifier.logits(X), classifier.double()
    assert forward is not None
    point, direction = X.double().requires_grad_(), 1e-6 * X.double()
    answer = forward(point)
    assert answer.dtype == torch.float64
    torch.testing.assert_close(answer.detach().float(), single, atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(answer.sum(), [point])
    with torch.no_grad():
        rise = (forward(X.double() + direction) - forward(X.double() - direction)).sum() / 2
    assert float((gradient * direction).sum() / rise) == pytest.approx(1.0, abs=1e-6)
    assert outside.weight.dtype == torch.float32


def test_a_saturated_sigmoid_has_the_slope_of_its_logit() -> None:
    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1)[:, :2] * 30 + 5).sigmoid()

    classifier = wrap_module(Steep())
    classifier.logits(X)
    forward = classifier.double()
    assert forward is not None
    x = torch.linspace(0, 1, 300, dtype=torch.float64).reshape(6, 1, 50)
    slope = (forward(x + 1e-6) - forward(x - 1e-6)) / 2e-6
    scores = forward(x)
    assert torch.allclose(slope[scores < 16.6], torch.tensor(30.0, dtype=torch.float64), rtol=0.01)
    assert (slope[scores > 16.7] == 0).all()


def test_a_module_that_cannot_be_copied_has_none() -> None:
    module = Net()
    module.lock = threading.Lock()
    assert wrap_module(module).double() is None
