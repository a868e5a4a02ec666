"""The same evaluation on CUDA and on the CPU."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import robcheck
from robcheck.adapters.onnx.translator.translate import translate
from robcheck.harness.training.recipes import small_cnn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5), ("l1", 2.0)])
@pytest.mark.parametrize("defense", [None, "jpeg:quality=75", "resize-pad:smallest=0.9"])
def test_quick_suite_agrees_with_the_cpu(norm, epsilon, defense):
    data = robcheck.load_data("digits", split="train", samples=1000)
    torch.manual_seed(0)
    network = small_cnn(1, 8, 10)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(data.x), data.y).backward()
        optimiser.step()
    outcomes = []
    for device in ("cpu", "cuda"):
        result = robcheck.evaluate(
            network, data.x, data.y, suite="quick", norm=norm, epsilon=epsilon, device=device,
            defenses=[defense] if defense else [],
        )  # fmt: skip
        assert result.environment.device != "cpu" or device == "cpu"
        outcomes.append([sample.outcome for sample in result.samples])
    differ = sum(a != b for a, b in zip(*outcomes, strict=True))
    assert differ <= 0.005 * len(data.y), differ


def quantised_graph():
    """Dynamic quantisation, an integer product, a threshold and a table of shapes, over (N, 8)."""
    weights = np.random.default_rng(0).integers(-100, 100, (8, 4)).astype(np.int8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "scale"], ["z"]),
        helper.make_node("Greater", ["z", "limit"], ["above"]),
        helper.make_node("Where", ["above", "z", "limit"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32(0.5), "limit")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_a_quantised_twin_agrees_with_the_cpu():
    x = torch.rand(16, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for place in ("cpu", "cuda"):
        module = translate(quantised_graph(), None, "x", "y").module.to(place)
        point = x.to(place).requires_grad_()
        y = module(point, bpda=True)
        (slope,) = torch.autograd.grad(y.square().sum(), point)
        found.append((y.detach().cpu(), slope.cpu()))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)
    assert found[0][1].any()
