"""The float64 copy of a module: the same function, more digits, nothing of the original touched."""

import threading

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


def test_a_module_that_cannot_be_copied_has_none() -> None:
    module = Net()
    module.lock = threading.Lock()
    assert wrap_module(module).double() is None
