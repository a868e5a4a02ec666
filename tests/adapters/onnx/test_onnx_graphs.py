"""Graphs as exporters really write them, and operators with awkward attributes, against onnxruntime."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.file.preflight import check_file
from robcheck.adapters.onnx.translator.translate import translate


def twin_equals_file(path, x, run_file, tolerance=2e-5):
    """Translation of the whole graph, without the classifier around it."""
    checked = check_file(path)
    listed = {tensor.name for tensor in checked.model.graph.initializer}
    name = next(value.name for value in checked.model.graph.input if value.name not in listed)
    before = checked.model.SerializeToString(deterministic=True)
    translation = translate(checked.model, path.parent, name, checked.model.graph.output[0].name)
    assert checked.model.SerializeToString(deterministic=True) == before
    assert translation.module is not None, translation.reason
    expected = run_file(path, x)
    found = translation.module(x)
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, atol=tolerance, rtol=1e-5)


def test_residual_block(save, weights):
    nodes = [
        ("Conv", ["x", "w1"], ["a"], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("BatchNormalization", ["a", "s", "t", "m", "v"], ["b"], {"epsilon": 1e-3}),
        ("Relu", ["b"], ["c"]),
        ("Conv", ["c", "w2"], ["d"], {"pads": [1, 1, 1, 1], "group": 2}),
        ("Conv", ["x", "w3"], ["short"], {"strides": [2, 2]}),
        ("Add", ["d", "short"], ["e"]),
        ("Relu", ["e"], ["f"]),
        ("GlobalAveragePool", ["f"], ["g"]),
        ("Flatten", ["g"], ["h"]),
        ("Gemm", ["h", "k", "l"], ["y"], {"alpha": 0.5, "beta": 2.0}),
    ]
    values = {"w1": weights(4, 3, 3, 3), "w2": weights(4, 2, 3, 3), "w3": weights(4, 3, 1, 1), "k": weights(4, 7)}
    values |= {"s": weights(4), "t": weights(4), "m": weights(4), "v": np.abs(weights(4)) + 0.1, "l": weights(7)}
    classifier = load_onnx(save(nodes, values, ["N", 3, 10, 10]))
    assert classifier.info.twin.available
    assert classifier.check_parity(torch.rand(8, 3, 10, 10)).parity < 1e-5


def test_unsorted_nodes_dead_nodes_and_shared_normalisation(save, weights, run_file):
    nodes = [
        ("Add", ["n", "c"], ["y"]),
        ("BatchNormalization", ["c", "s", "s", "s", "v"], ["n"]),
        ("Det", ["x"], ["nobody"]),
        ("Conv", ["x", "w"], ["c"]),
    ]
    values = {"w": weights(2, 3, 3, 3), "s": weights(2), "v": np.abs(weights(2)) + 1}
    path = save(nodes, values, ["N", 3, 6, 6])
    model = onnx.load(str(path))
    path_sorted = path.with_name("sorted.onnx")
    order = [3, 1, 0]
    ordered = [model.graph.node[i] for i in order]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    path_sorted.write_bytes(model.SerializeToString())
    x = torch.rand(2, 3, 6, 6)
    expected = run_file(path_sorted, x)
    translation = translate(check_file(path).model, None, "x", "y")
    np.testing.assert_allclose(translation.module(x).numpy(), expected, atol=1e-5)


def test_aliased_initialisers_that_are_listed_as_inputs(save, weights):
    nodes = [
        ("Identity", ["w"], ["alias"]),
        ("Identity", ["alias"], ["again"]),
        ("Constant", [], ["k"], {"value": numpy_helper.from_array(np.float32(0.5))}),
        ("Conv", ["x", "again", "b"], ["c"]),
        ("Mul", ["c", "k"], ["m"]),
        ("Flatten", ["m"], ["y"]),
    ]
    listed = [
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 3, 3, 3]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, [2]),
    ]
    path = save(nodes, {"w": weights(2, 3, 3, 3), "b": weights(2)}, [1, 3, 4, 4], opset=9, ir=3, extra_inputs=listed)
    model = onnx.load(str(path))
    first = model.graph.input.pop(0)
    model.graph.input.append(first)
    path.write_bytes(model.SerializeToString())
    assert load_onnx(path).info.twin.parity < 1e-6
    session_input = torch.rand(1, 3, 4, 4)
    translation = translate(model, None, "x", "y")
    assert translation.module(session_input).shape == (1, 8)


CONVOLUTIONS = [
    ("Conv", (2, 3, 9), (4, 3, 3), {"pads": [2, 0], "strides": [2]}),
    ("Conv", (1, 2, 5, 6, 7), (4, 1, 2, 3, 2), {"group": 2, "pads": [1, 0, 1, 0, 2, 0]}),
    ("Conv", (2, 3, 9, 8), (2, 3, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    ("Conv", (2, 3, 9, 8), (2, 3, 3, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    ("Conv", (2, 3, 9, 8), (2, 3, 3, 2), {"auto_pad": "VALID"}),
    ("Conv", (2, 3, 9, 8), (2, 3, 3, 3), {"dilations": [2, 2], "pads": [2, 1, 0, 3]}),
    ("ConvTranspose", (2, 3, 5, 6), (3, 2, 3, 3), {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    ("ConvTranspose", (2, 4, 5, 6), (4, 1, 3, 3), {"group": 2, "strides": [2, 2], "output_padding": [1, 1]}),
    ("ConvTranspose", (1, 3, 7), (3, 2, 4), {"strides": [2], "dilations": [2], "pads": [1, 2]}),
    ("ConvTranspose", (2, 3, 5, 6), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", (2, 3, 5, 6), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("ConvTranspose", (2, 3, 5, 6), (3, 2, 3, 3), {"strides": [2, 2], "output_shape": [10, 13]}),
]


@pytest.mark.parametrize(("op", "dims", "kernel", "attributes"), CONVOLUTIONS)
def test_convolutions(save, weights, run_file, op, dims, kernel, attributes):
    bias = kernel[0] if op == "Conv" else kernel[1] * attributes.get("group", 1)
    path = save([(op, ["x", "w", "b"], ["y"], attributes)], {"w": weights(*kernel), "b": weights(bias)}, dims)
    twin_equals_file(path, torch.randn(dims), run_file)


POOLS = [
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [3, 2], "ceil_mode": 1, "pads": [0, 1, 2, 0]},
    {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "pads": [0, 0, 2, 1]},
    {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"kernel_shape": [2, 2], "dilations": [2, 3]},
    {"kernel_shape": [2, 2], "dilations": [2, 2], "ceil_mode": 1, "strides": [2, 2], "pads": [1, 0, 0, 1]},
]


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "AveragePool counting"])
def test_pools(save, run_file, op, attributes):
    more = {"count_include_pad": 1} if op.endswith("counting") else {}
    path = save([(op.split()[0], ["x"], ["y"], attributes | more)], {}, [2, 3, 7, 8], opset=19)
    twin_equals_file(path, torch.randn(2, 3, 7, 8), run_file)


RESIZES = [
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    {"mode": "cubic", "coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.5},
]


@pytest.mark.parametrize("scale", [(2.0, 2.0), (0.6, 1.7)])
@pytest.mark.parametrize("attributes", RESIZES)
def test_resizes(save, run_file, attributes, scale):
    scales = np.array([1, 1, *scale], dtype=np.float32)
    path = save([("Resize", ["x", "", "scales"], ["y"], attributes)], {"scales": scales}, [2, 3, 7, 8])
    twin_equals_file(path, torch.randn(2, 3, 7, 8), run_file)


def test_upsample_before_opset_10(save, run_file):
    scales = np.array([1, 1, 2, 3], dtype=np.float32)
    path = save([("Upsample", ["x", "scales"], ["y"])], {"scales": scales}, [2, 3, 4, 5], opset=9)
    twin_equals_file(path, torch.randn(2, 3, 4, 5), run_file)


def test_softmax_before_opset_13_flattens(save, run_file):
    for opset in (11, 13):
        path = save([("Softmax", ["x"], ["y"], {"axis": 1})], {}, [2, 3, 4], opset=opset)
        twin_equals_file(path, torch.randn(2, 3, 4), run_file)


@pytest.mark.parametrize("opset", [8, 13])
def test_attributes_that_became_inputs(save, run_file, opset):
    if opset == 8:
        nodes = [
            ("Clip", ["x"], ["a"], {"min": -0.5, "max": 0.5}),
            ("Pad", ["a"], ["b"], {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "mode": "reflect"}),
            ("Slice", ["b"], ["c"], {"starts": [0, -4], "ends": [9, -1], "axes": [1, 3]}),
            ("Split", ["c"], ["d", "e"], {"axis": 2, "split": [2, 4]}),
            ("Unsqueeze", ["e"], ["f"], {"axes": [0]}),
            ("Squeeze", ["f"], ["g"], {"axes": [0]}),
            ("ReduceSum", ["g"], ["y"], {"axes": [2]}),
        ]
        values = {}
    else:
        nodes = [
            ("Clip", ["x", "low", "high"], ["a"]),
            ("Pad", ["a", "pads"], ["b"], {"mode": "reflect"}),
            ("Slice", ["b", "starts", "ends", "axes"], ["c"]),
            ("Split", ["c", "sizes"], ["d", "e"], {"axis": 2}),
            ("Unsqueeze", ["e", "zero"], ["f"]),
            ("Squeeze", ["f", "zero"], ["g"]),
            ("ReduceSum", ["g", "two"], ["y"]),
        ]
        values = {"low": np.float32(-0.5), "high": np.float32(0.5), "pads": np.array([0, 0, 1, 2, 0, 0, 0, 1])}
        values |= {"starts": np.array([0, -4]), "ends": np.array([9, -1]), "axes": np.array([1, 3])}
        values |= {"sizes": np.array([2, 4]), "zero": np.array([0]), "two": np.array([2])}
    path = save(nodes, values, [2, 3, 5, 5], opset=opset)
    twin_equals_file(path, torch.randn(2, 3, 5, 5), run_file)


def test_transformer_block(save, weights, run_file):
    nodes = [
        ("LayerNormalization", ["x", "s", "t"], ["n"], {"axis": -1}),
        ("MatMul", ["n", "qkv"], ["m"]),
        ("Split", ["m"], ["q", "k", "v"], {"axis": 2}),
        ("Transpose", ["k"], ["kt"], {"perm": [0, 2, 1]}),
        ("MatMul", ["q", "kt"], ["qk"]),
        ("Div", ["qk", "root"], ["scaled"]),
        ("Softmax", ["scaled"], ["p"], {"axis": -1}),
        ("MatMul", ["p", "v"], ["o"]),
        ("Add", ["x", "o"], ["r"]),
        ("Div", ["r", "sqrt2"], ["g1"]),
        ("Erf", ["g1"], ["g2"]),
        ("Add", ["g2", "one"], ["g3"]),
        ("Mul", ["r", "g3"], ["g4"]),
        ("ReduceMean", ["g4"], ["pool"], {"axes": [1], "keepdims": 0}),
        ("Gemm", ["pool", "head"], ["y"]),
    ]
    values = {"s": weights(8), "t": weights(8), "qkv": weights(8, 24), "root": np.float32(8**0.5)}
    values |= {"sqrt2": np.float32(2**0.5), "one": np.float32(1), "head": weights(8, 5)}
    path = save(nodes, values, ["N", 6, 8])
    classifier = load_onnx(path)
    assert classifier.info.twin.parity < 1e-5
    twin_equals_file(path, torch.randn(3, 6, 8), run_file)


def test_half_precision_computes_in_float32(save, weights):
    nodes = [
        ("Cast", ["x"], ["h"], {"to": TensorProto.FLOAT16}),
        ("Flatten", ["h"], ["f"]),
        ("Gemm", ["f", "w"], ["g"]),
        ("Cast", ["g"], ["y"], {"to": TensorProto.FLOAT}),
    ]
    classifier = load_onnx(save(nodes, {"w": weights(12, 4).astype(np.float16)}, ["N", 3, 2, 2]))
    assert classifier.info.twin.available
    assert classifier.differentiable()(torch.rand(2, 3, 2, 2)).dtype == torch.float32
    assert any("sixteen bits" in note for note in classifier.info.notes)


def test_float64_file(save, weights, run_file):
    nodes = [("Flatten", ["x"], ["f"]), ("MatMul", ["f", "w"], ["y"])]
    path = save(
        nodes, {"w": weights(12, 4).astype(np.float64)}, ["N", 12], kind=TensorProto.DOUBLE, kinds=(TensorProto.DOUBLE,)
    )
    classifier = load_onnx(path)
    x = torch.rand(3, 12)
    np.testing.assert_allclose(classifier.logits(x), run_file(path, x, np.float64), atol=1e-6)
    assert classifier.info.twin.parity < 1e-6


def test_external_data_beside_the_model(cnn, tmp_path):
    plain = load_onnx(cnn())
    model = onnx.load(str(tmp_path / "m.onnx"))
    onnx.save_model(
        model, str(tmp_path / "e.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    classifier = load_onnx(tmp_path / "e.onnx")
    x = torch.rand(3, 3, 8, 8)
    assert torch.equal(classifier.logits(x), plain.logits(x))
    assert torch.equal(classifier.differentiable()(x), plain.differentiable()(x))
    assert classifier.info.sha256 != plain.info.sha256


@pytest.mark.parametrize("batch", ["N", 1])
def test_gradient_against_finite_differences_in_float64(cnn, batch):
    tail = [("Softplus", ["logits"], ["y"])]
    model = check_file(cnn(batch=batch, tail=tail)).model
    module = translate(model, None, "x", "y", torch.float64).module
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64, generator=generator, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[0, 2], x)
    for _ in range(5):
        direction = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        step = 1e-6 * direction
        slope = (module(x + step)[0, 2] - module(x - step)[0, 2]).item() / 2e-6
        assert slope == pytest.approx((gradient * direction).sum().item(), rel=1e-5, abs=1e-8)


def test_translating_twice_gives_the_same(cnn):
    model = check_file(cnn()).model
    x = torch.rand(2, 3, 8, 8)
    first = translate(model, None, "x", "y").module(x)
    assert torch.equal(first, translate(model, None, "x", "y").module(x))
