"""Layers as torch's exporter writes them, where converters are known to go wrong."""

import warnings

import onnx
import pytest
import torch
from torch import nn

from robcheck.adapters.onnx import load_onnx


class Shared(nn.Module):
    """Two layers with the same weights: the exporter makes one an Identity of the other's."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 12)
        self.second = nn.Linear(12, 12)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.relu(self.first(x.flatten(1))))


def image(*layers):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


NETWORKS = {
    "group norm": (lambda: image(nn.GroupNorm(4, 8), nn.ReLU()), (3, 8, 8)),
    "instance norm": (lambda: image(nn.InstanceNorm2d(8, affine=True), nn.ReLU()), (3, 8, 8)),
    "ceil mode": (lambda: image(nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 2, ceil_mode=True)), (3, 9, 9)),
    "asymmetric padding": (lambda: image(nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(8, 8, 3)), (3, 8, 8)),
    "reflected padding": (lambda: image(nn.ReflectionPad2d((1, 2, 0, 1)), nn.Conv2d(8, 8, 3)), (3, 8, 8)),
    "gelu": (lambda: image(nn.GELU(), nn.GELU(approximate="tanh")), (3, 8, 8)),
    "hard swish": (lambda: image(nn.Hardswish(), nn.Hardsigmoid()), (3, 8, 8)),
    "pixel shuffle": (lambda: image(nn.PixelShuffle(2), nn.Conv2d(2, 8, 3)), (3, 8, 8)),
    "upsampling": (lambda: image(nn.Upsample(scale_factor=2, mode="bilinear")), (3, 8, 8)),
    "shared weights": (Shared, (3, 2, 2)),
    "layer norm": (lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 5)), (3, 2, 2)),
}


def exported(path, network, shape, opset):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(2, *shape),),
            str(path),
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            opset_version=opset,
            dynamo=False,
        )
    return path


@pytest.mark.parametrize("opset", [11, 17, 20])
@pytest.mark.parametrize("name", NETWORKS)
def test_exported_layers_agree_with_the_module(tmp_path, name, opset):
    make, shape = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = make().eval()
        for weight in network.parameters():
            weight.data.add_(0.1 * torch.randn_like(weight))
        x = torch.rand(6, *shape)
    path = exported(tmp_path / "m.onnx", network, shape, opset)
    before = path.read_bytes()
    proto = onnx.load(str(path))
    classifier = load_onnx(path)
    twin = classifier.differentiable()
    assert twin is not None, classifier.info.twin.reason
    with torch.no_grad():
        expected = network(x)
    torch.testing.assert_close(classifier.logits(x), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(twin(x).detach(), expected, atol=1e-5, rtol=1e-4)
    slopes = []
    for forward in (twin, network):
        point = x.clone().requires_grad_()
        slopes.append(torch.autograd.grad(forward(point).square().sum(), point)[0])
    torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-3)
    assert path.read_bytes() == before
    assert onnx.load(str(path)) == proto
