"""Stand-ins of quantised operators on the backward pass: one over the scale inside the range, zero outside."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx.translator.node import Node
from robcheck.adapters.onnx.translator.operators import OPERATORS
from robcheck.adapters.onnx.translator.operators.obstacle import Obstacle
from robcheck.adapters.onnx.translator.translate import translate

BYTE = torch.uint8


def slope(key, node, x, *rest):
    """Answer and gradient of the surrogate's sum with respect to its first float input."""
    row = OPERATORS[key]
    assert isinstance(row, Obstacle)
    x = x.clone().requires_grad_()
    result = row.surrogate(node, x, *rest)
    first = result if isinstance(result, torch.Tensor) else result[0]
    (gradient,) = torch.autograd.grad(first.sum(), x)
    return result, gradient


def node(op="", **attributes):
    return Node("", op, "", 21, ("x",), ("y",), attributes)


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_quantize_has_the_inverse_scale_inside_and_nothing_outside(domain):
    x = torch.tensor([-9.0, -1.0, 0.3, 9.9, 40.0])
    scale, zero = torch.tensor(0.1, requires_grad=True), torch.tensor(100, dtype=BYTE)
    key = (domain, "QuantizeLinear", 1 if domain else 10)
    y, gradient = slope(key, node("QuantizeLinear"), x, scale, zero)
    assert gradient.tolist() == pytest.approx([10, 10, 10, 10, 0])
    assert y.tolist() == pytest.approx([10, 90, 103, 199, 255])
    assert not torch.autograd.grad(y.sum(), scale, allow_unused=True)[0]


def test_quantize_to_four_bits_stops_at_four_bits():
    narrow = Node("", "QuantizeLinear", "", 21, ("x", "s", "z"), ("y",), narrow={2: TensorProto.INT4})
    x = torch.tensor([-9.0, -7.0, 0.0, 6.0, 9.0])
    _, gradient = slope(("", "QuantizeLinear", 10), narrow, x, torch.tensor(1.0), torch.tensor(0, dtype=torch.int8))
    assert gradient.tolist() == [0, 1, 1, 1, 0]


def test_dynamic_quantisation_has_no_gradient_through_its_scale():
    x = torch.tensor([-1.0, 0.5, 3.0])
    (y, scale, zero), gradient = slope(("", "DynamicQuantizeLinear", 11), node(), x)
    assert gradient.tolist() == pytest.approx([255 / 4] * 3)
    assert not scale.requires_grad
    assert not zero.requires_grad
    assert y.requires_grad
    exact = OPERATORS["", "DynamicQuantizeLinear", 11].exact(node(), x.requires_grad_())
    assert not any(value.requires_grad for value in exact)


def test_dynamic_product_has_the_gradient_of_the_product():
    x, b = torch.tensor([[-1.0, 0.5, 3.0]]), torch.tensor([[1], [-2], [100]], dtype=torch.int8)
    key = ("com.microsoft", "DynamicQuantizeMatMul", 1)
    scale = torch.tensor(0.25)
    _, gradient = slope(key, node(), x, b, scale)
    assert gradient.tolist() == [pytest.approx([0.25, -0.5, 25.0])]
    assert not OPERATORS[key].exact(node(), x.requires_grad_(), b, scale).requires_grad


@pytest.mark.parametrize("op", ["MatMulInteger", "MatMulIntegerToFloat", "QLinearMatMul", "QGemm"])
def test_products_have_the_gradient_of_the_product(op):
    a, b = torch.tensor([[3.0, 200.0]]), torch.tensor([[1, -20], [-2, 100]], dtype=torch.int8)
    zero, none = torch.tensor(0, dtype=BYTE), torch.tensor(0, dtype=torch.int8)
    one = torch.tensor(1.0)
    rest = {
        "MatMulInteger": (b, zero, none),
        "MatMulIntegerToFloat": (b, one * 0.5, one * 0.25, zero, none),
        "QLinearMatMul": (one * 0.5, zero, b, one * 0.25, none, one * 64, torch.tensor(128, dtype=BYTE)),
        "QGemm": (one * 0.5, zero, b, one * 0.25, none, None, one * 64, torch.tensor(128, dtype=BYTE)),
    }[op]
    key = next(key for key in OPERATORS if key[1] == op)
    factor = {"MatMulInteger": 1, "MatMulIntegerToFloat": 0.125}.get(op, 0.125 / 64)
    _, gradient = slope(key, node(), a, *rest)
    assert gradient.tolist() == [pytest.approx([-19 * factor, 98 * factor])]


@pytest.mark.parametrize("key", [("", "ConvInteger", 10), ("", "QLinearConv", 10)])
def test_convolutions_have_the_gradient_of_the_convolution(key):
    x, w = torch.rand(1, 2, 4, 4) * 255, torch.tensor([1, -2], dtype=torch.int8).reshape(1, 2, 1, 1)
    zero, none, one = torch.tensor(7, dtype=BYTE), torch.tensor(0, dtype=torch.int8), torch.tensor(1.0)
    rest = (w, zero, none)
    if key[1] == "QLinearConv":
        rest = (one * 0.5, zero, w, one * 0.25, none, one * 64, torch.tensor(128, dtype=BYTE))
    factor = 1.0 if key[1] == "ConvInteger" else 0.125 / 64
    _, gradient = slope(key, node(), x, *rest)
    assert torch.allclose(gradient[:, 0], torch.full((1, 4, 4), factor))
    assert torch.allclose(gradient[:, 1], torch.full((1, 4, 4), -2.0 * factor))


@pytest.mark.parametrize(
    ("op", "attributes", "slopes"),
    [
        ("QLinearLeakyRelu", {"alpha": 0.5}, [0.0, 1.0, 2.0]),
        ("QLinearSigmoid", {}, [None, None, None]),
        ("QLinearAdd", {}, [2.0, 2.0, 2.0]),
        ("QLinearMul", {}, [1.5, 1.5, 1.5]),
        ("QLinearConcat", {"axis": 0}, [2.0, 2.0, 2.0]),
        ("QLinearWhere", {}, [2.0, 2.0, 2.0]),
        ("QLinearSoftmax", {"opset": 13}, [None, None, None]),
    ],
)
def test_single_numbers_have_the_slope_of_the_function(op, attributes, slopes):
    numbers = torch.tensor([-120.0, -20.0, 20.0])
    zero, one = torch.tensor(0, dtype=torch.int8), torch.tensor(1.0)
    wide = torch.tensor(20, dtype=torch.int8)
    other = (torch.tensor([3, 3, 3], dtype=torch.int8), one * 0.5, zero)
    low = torch.tensor(-128, dtype=torch.int8)
    inputs = {
        "QLinearAdd": (numbers * 0.4, one, zero, *other, one * 0.5, zero),
        "QLinearMul": (numbers * 0.4, one, zero, *other, one, zero),
        "QLinearSigmoid": (numbers, one * 0.01, zero, one / 256, low),
        "QLinearSoftmax": (numbers, one * 0.01, zero, one / 256, low),
        "QLinearLeakyRelu": (torch.tensor([-200.0, -20.0, 20.0]), one, zero, one * 0.5, wide),
    }
    key = ("com.microsoft", op, 1)
    if op == "QLinearConcat":
        surrogate = OPERATORS[key].surrogate
        x = (numbers * 0.4).requires_grad_()
        y = surrogate(node(**attributes), one * 0.5, zero, x, one, zero, *other)
        (gradient,) = torch.autograd.grad(y.sum(), x)
    elif op == "QLinearWhere":
        x = (numbers * 0.4).requires_grad_()
        y = OPERATORS[key].surrogate(node(), torch.ones(3), x, one, zero, *other, one * 0.5, zero)
        (gradient,) = torch.autograd.grad(y.sum(), x)
    else:
        first, *rest = inputs[op]
        weights = torch.tensor([1.0, 2.0, 3.0])
        _, gradient = slope(key, node(**attributes), first, *rest)
        if op == "QLinearSoftmax":
            x = first.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(
                (OPERATORS[key].surrogate(node(**attributes), x, *rest) * weights).sum(), x
            )
            y = first.clone().requires_grad_()
            (wanted,) = torch.autograd.grad((torch.softmax(y * 0.01, -1) * 256 * weights).sum(), y)
            slopes = wanted.tolist()
        if op == "QLinearSigmoid":
            share = torch.sigmoid(first * 0.01)
            slopes = (share * (1 - share) * 2.56).tolist()
    assert gradient.tolist() == pytest.approx(slopes, rel=1e-4)


@pytest.mark.parametrize("op", ["QLinearAveragePool", "QLinearGlobalAveragePool"])
def test_pools_share_the_gradient(op):
    x = torch.rand(1, 1, 2, 2) * 100
    attributes = {"kernel_shape": [2, 2]} if op == "QLinearAveragePool" else {}
    zero, one = torch.tensor(0, dtype=BYTE), torch.tensor(1.0)
    _, gradient = slope(("com.microsoft", op, 1), node(op, **attributes), x, one, zero, one * 0.5, zero)
    assert torch.allclose(gradient, torch.full((1, 1, 2, 2), 0.5))


def test_weights_of_a_few_bits_pass_the_gradient_of_the_product():
    weight = torch.full((1, 1, 16), 0x8A, dtype=BYTE)
    few = node("MatMulNBits", K=32, N=1, bits=4, block_size=32, accuracy_level=4)
    _, gradient = slope(("com.microsoft", "MatMulNBits", 1), few, torch.rand(1, 32), weight, torch.tensor([0.5]))
    assert gradient.tolist() == [[1.0, 0.0] * 16]


def test_a_quantised_chain_keeps_its_value_and_gets_a_gradient():
    make = helper.make_node
    graph = helper.make_graph(
        [
            make("QuantizeLinear", ["x", "s", "z"], ["q"]),
            make("MaxPool", ["q"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
            make("Reshape", ["m", "shape"], ["r"]),
            make("Concat", ["r", "r"], ["c"], axis=1),
            make("DequantizeLinear", ["c", "s", "z"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.float32(0.02), "s"),
            numpy_helper.from_array(np.int8(-5), "z"),
            numpy_helper.from_array(np.array([0, -1]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    module = translate(model, None, "x", "y").module
    x = torch.rand(2, 1, 4, 4).requires_grad_()
    assert not module(x).requires_grad
    y = module(x, bpda=True)
    assert torch.equal(y.detach(), module(x))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.sum() == pytest.approx(16)
    assert ((gradient == 0) | (gradient - 2).abs().lt(1e-5)).all()
