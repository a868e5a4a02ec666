"""Layers on quantised numbers: their own answer, with the gradient of the layers that they were made from."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robcheck.adapters.pytorch.module import wrap_module

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*quantize.*deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(torch.backends.quantized.engine == "none", reason="torch was built without quantised kernels"),
]
X = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))


class Quantised(nn.Module):
    """A convolution, its double and a linear layer, all on bytes."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.kernel, self.matrix = (
            torch.quantize_per_tensor(torch.randn(*shape, generator=random) * 0.3, 0.01, 0, torch.qint8)
            for shape in ((4, 1, 3, 3), (3, 64))
        )
        self.conv = torch.ops.quantized.conv2d_prepack(self.kernel, torch.zeros(4), [1, 1], [0, 0], [1, 1], 1)
        self.linear = torch.ops.quantized.linear_prepack(self.matrix, torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.quantize_per_tensor(x, 1 / 255, 0, torch.quint8)
        h = torch.ops.quantized.conv2d_relu(h, self.conv, 0.01, 0)
        h = torch.ops.quantized.add(h, h, 0.02, 0).flatten(1)
        return torch.ops.quantized.linear(h, self.linear, 0.05, 128).dequantize()

    def real(self, x: Tensor) -> Tensor:
        h = F.relu(F.conv2d(x, self.kernel.dequantize()))
        return F.linear((h + h).flatten(1), self.matrix.dequantize())


def gradient(output: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(output[:, 0].sum(), x)[0]


def test_a_network_on_bytes() -> None:
    module = Quantised().eval()
    classifier = wrap_module(module)
    logits = classifier.logits(X)
    assert {"quantize_per_tensor", "conv2d_relu", "linear"} <= set(classifier.info.obstacles)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    output = forward(x)
    assert torch.equal(output.detach(), logits)
    one, other = gradient(output, x), gradient(module.real(y), y)
    assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.95
    assert classifier.info.notes == ()


def test_dynamically_quantised_layers() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        real = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    module = torch.ao.quantization.quantize_dynamic(real, {nn.Linear}, dtype=torch.qint8)
    classifier = wrap_module(module.eval())
    logits = classifier.logits(X)
    forward = classifier.differentiable("bpda")
    assert forward is not None
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    output = forward(x)
    assert torch.equal(output.detach(), logits)
    one = gradient(output, x)
    assert torch.allclose(one, gradient(real(y), y), atol=0.01)
    assert one.abs().max() > 0.05
