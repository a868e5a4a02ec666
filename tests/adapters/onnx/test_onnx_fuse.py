"""Layers that exporters take apart are put together, and only where nothing else needs the parts."""

import numpy as np
import pytest
import torch

from robcheck.adapters.onnx import load_onnx


def names(classifier):
    return [step.node.key for step in classifier.translation.graph._steps]


ROOT = np.float32(np.sqrt(2))
GELUS = {
    "half last": [
        ("Div", ["h", "root"], ["a"]),
        ("Erf", ["a"], ["e"]),
        ("Add", ["e", "one"], ["p"]),
        ("Mul", ["h", "p"], ["q"]),
        ("Mul", ["q", "half"], ["y"]),
    ],
    "half beside": [
        ("Mul", ["unroot", "h"], ["a"]),
        ("Erf", ["a"], ["e"]),
        ("Add", ["one", "e"], ["p"]),
        ("Mul", ["half", "h"], ["q"]),
        ("Mul", ["q", "p"], ["y"]),
    ],
    "half first": [
        ("Div", ["h", "root"], ["a"]),
        ("Erf", ["a"], ["e"]),
        ("Add", ["e", "one"], ["p"]),
        ("Mul", ["p", "half"], ["q"]),
        ("Mul", ["q", "h"], ["y"]),
    ],
}
CONSTANTS = {
    "root": ROOT,
    "unroot": 1 / ROOT,
    "one": np.float32(1),
    "half": np.float32(0.5),
    "third": np.float32(1 / 3),
}


def gelu_file(save, weights, nodes, **more):
    used = {name for node in nodes for name in node[1]}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    return save([("MatMul", ["x", "w"], ["h"]), *nodes], {"w": weights(6, 4, scale=1.0), **constants}, ["N", 6], **more)


@pytest.mark.parametrize("name", GELUS)
def test_gelu_is_one_step(save, weights, run_file, agree, name):
    path = gelu_file(save, weights, GELUS[name])
    classifier = load_onnx(path, bounds=(-3, 3))
    assert names(classifier) == ["MatMul", "robcheck::Gelu"]
    x = torch.empty(9, 6).uniform_(-3, 3, generator=torch.Generator().manual_seed(0))
    agree(classifier, x, run_file(path, x))


@pytest.mark.parametrize(
    "change",
    [
        lambda nodes: [*nodes[:-1], ("Mul", ["q", "third"], ["y"])],
        lambda nodes: [*nodes[:-1], ("Mul", ["q", "half"], ["r"]), ("Add", ["r", "e"], ["y"])],
        lambda nodes: [*nodes[:-1], ("Add", ["q", "half"], ["y"])],
    ],
)
def test_almost_a_gelu_is_left_alone(save, weights, run_file, agree, change):
    path = gelu_file(save, weights, change(GELUS["half last"]))
    classifier = load_onnx(path)
    assert "Erf" in names(classifier)
    x = torch.rand(5, 6)
    agree(classifier, x, run_file(path, x))


def test_a_tensor_that_is_an_output_is_not_fused_away(save, weights, run_file, agree):
    path = save(
        [("MatMul", ["x", "w"], ["m"]), ("Add", ["m", "b"], ["y"])],
        {"w": weights(6, 4), "b": weights(4)},
        ["N", 6],
        outputs=("y", "m"),
        kinds=(1, 1),
    )
    classifier = load_onnx(path)
    x = torch.rand(5, 6)
    agree(classifier, x, run_file(path, x))


@pytest.mark.parametrize("order", [["m", "b"], ["b", "m"]])
def test_linear_is_one_step(save, weights, run_file, agree, order):
    path = save([("MatMul", ["x", "w"], ["m"]), ("Add", order, ["y"])], {"w": weights(6, 4), "b": weights(4)}, ["N", 6])
    classifier = load_onnx(path)
    assert names(classifier) == ["robcheck::Linear"]
    x = torch.rand(5, 6)
    agree(classifier, x, run_file(path, x))


def test_a_row_that_broadcasts_over_samples_is_no_bias(save, weights, run_file, agree):
    path = save(
        [("MatMul", ["x", "w"], ["m"]), ("Add", ["m", "b"], ["y"])], {"w": weights(6, 4), "b": weights(1, 4)}, ["N", 6]
    )
    classifier = load_onnx(path)
    assert names(classifier) == ["MatMul", "Add"]
    x = torch.rand(5, 6)
    agree(classifier, x, run_file(path, x))


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("axis", [-1, 3, 2])
def test_attention_is_one_step(save, weights, run_file, agree, axis, batch):
    """2 heads over 4 tokens of 6 numbers, read off at the first token."""
    rows = 0 if batch == "N" else 1
    nodes = [
        ("Reshape", ["x", "tokens"], ["t"]),
        ("MatMul", ["t", "wq"], ["q0"]),
        ("MatMul", ["t", "wk"], ["k0"]),
        ("MatMul", ["t", "wv"], ["v0"]),
        *[("Reshape", [f"{n}0", "heads"], [f"{n}1"]) for n in "qkv"],
        ("Transpose", ["q1"], ["q"], {"perm": [0, 2, 1, 3]}),
        ("Transpose", ["k1"], ["k"], {"perm": [0, 2, 3, 1]}),
        ("Transpose", ["v1"], ["v"], {"perm": [0, 2, 1, 3]}),
        ("MatMul", ["q", "k"], ["s"]),
        ("Softmax", ["s"], ["p"], {"axis": axis}),
        ("MatMul", ["p", "v"], ["o"]),
        ("Transpose", ["o"], ["u"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["u", "flat"], ["y"]),
    ]
    values = {f"w{n}": weights(6, 6, scale=1.0) for n in "qkv"}
    values |= {
        "tokens": np.array([rows, 4, 6]),
        "heads": np.array([rows, 4, 2, 3]),
        "flat": np.array([rows, 24]),
    }
    path = save(nodes, values, [batch, 24])
    classifier = load_onnx(path)
    assert "robcheck::Attention" in names(classifier)
    assert "Softmax" not in names(classifier)
    x = torch.rand(5, 24)
    expected = np.concatenate([run_file(path, x[i : i + 1]) for i in range(5)])
    agree(classifier, x, expected)
    twin, wide = classifier.differentiable(), classifier.double()
    slopes = []
    for forward, point in ((twin, x), (wide, x.double())):
        point = point.clone().requires_grad_()
        slopes.append(torch.autograd.grad(forward(point)[:, 3].sum(), point)[0].float())
    torch.testing.assert_close(*slopes, atol=1e-5, rtol=1e-4)


def test_convolutions_run_with_channels_last(cnn, run_file, agree):
    path = cnn()
    classifier = load_onnx(path)
    weight = next(value for value in classifier.translation.graph.buffers() if value.dim() == 4)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert "BatchNormalization" not in names(classifier)
    x = torch.rand(5, 3, 8, 8)
    agree(classifier, x, run_file(path, x))
