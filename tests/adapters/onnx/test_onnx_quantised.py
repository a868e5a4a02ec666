"""Operators on quantised numbers against onnxruntime, with and without its optimisations, number for number."""

import platform

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx.translator.node import UntranslatableError
from robcheck.adapters.onnx.translator.translate import translate

MS = {"domain": "com.microsoft"}
BYTES = (np.uint8, np.int8)
ADDED = 0.0 if platform.machine() in ("x86_64", "AMD64") else 0.02
"""How far sums may be off: other processors add in fixed point and miss some halves by a step."""
PAIRS = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]


def named(kind):
    return kind.__name__ if isinstance(kind, type) else None


def model_of(nodes, inputs, constants, output):
    graph = helper.make_graph(
        [helper.make_node(op, read, made, **attributes) for op, read, made, attributes in nodes],
        "g",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in inputs.items()
        ],
        [helper.make_tensor_value_info("y", output, None)],
        [
            value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(*MS.values(), 1)])
    model.ir_version = 10
    return model


def deployed(model, inputs, *, optimised=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def agree(nodes, inputs, constants, kind, tolerance=0.0):
    """The twin's answer, compared with onnxruntime's on a model with several different levels in its output."""
    output = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    model = model_of(nodes, inputs, constants, output)
    translation = translate(model, None, list(inputs), "y")
    assert translation.module is not None, translation.reason
    found = translation.module(*[torch.from_numpy(value) for value in inputs.values()]).numpy()
    for optimised in (False, True):
        expected = deployed(model, inputs, optimised=optimised)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert len(np.unique(expected)) > min(8, expected.size // 2)
        limit = tolerance * np.abs(expected.astype(np.float64)).max()
        assert np.abs(found.astype(np.float64) - expected.astype(np.float64)).max() <= limit
    return found


@pytest.fixture
def draw():
    return np.random.default_rng(3)


def whole(draw, kind, *shape):
    limits = np.iinfo(kind)
    return draw.integers(limits.min, limits.max + 1, shape).astype(kind)


def middle(kind, step=5):
    limits = np.iinfo(kind)
    return np.array((limits.min + limits.max) // 2 + step, kind)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16], ids=named)
@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_linear_per_tensor_and_per_axis(draw, kind, domain):
    x = (draw.standard_normal((3, 4, 5)) * 4).astype(np.float32)
    step = np.float32(6 / (np.iinfo(kind).max - np.iinfo(kind).min))
    one = {"s": step, "z": middle(kind)}
    many = {"s": step * np.linspace(0.5, 3, 4).astype(np.float32), "z": middle(kind) + np.arange(4).astype(kind)}
    for constants, attributes in ((one, {}), (many, {"axis": 1})):
        names = ["s", "z"]
        attributes = attributes | {"domain": domain}
        agree([("QuantizeLinear", ["x", *names], ["y"], attributes)], {"x": x}, constants, kind)
        numbers = {"x": whole(draw, kind, 3, 4, 5)}
        agree([("DequantizeLinear", ["x", *names], ["y"], attributes)], numbers, constants, np.float32)


@pytest.mark.parametrize("kind", BYTES, ids=named)
def test_linear_in_blocks(draw, kind):
    x = (draw.standard_normal((3, 5, 4)) * 4).astype(np.float32)
    constants = {"s": draw.uniform(0.02, 0.2, (3, 3, 4)).astype(np.float32), "z": whole(draw, kind, 3, 3, 4)}
    attributes = {"axis": 1, "block_size": 2}
    agree([("QuantizeLinear", ["x", "s", "z"], ["y"], attributes)], {"x": x}, constants, kind)
    numbers = {"x": whole(draw, kind, 3, 5, 4)}
    agree([("DequantizeLinear", ["x", "s", "z"], ["y"], attributes)], numbers, constants, np.float32)


def test_halves_go_to_the_even_number():
    x = np.arange(-6, 7, dtype=np.float32) / 2
    found = agree(
        [("QuantizeLinear", ["x", "s", "z"], ["y"], {})], {"x": x}, {"s": np.float32(1), "z": np.int8(1)}, np.int8
    )
    assert found[7:12].tolist() == [1, 2, 3, 3, 3]


@pytest.mark.parametrize(("code", "low"), [(TensorProto.INT4, -8), (TensorProto.UINT4, 0)])
@pytest.mark.parametrize("between", [None, "Transpose"])
def test_four_bits_clip_at_four_bits(draw, code, low, between):
    x = (draw.standard_normal((4, 6)) * 9).astype(np.float32)
    zero = helper.make_tensor("z", code, [], [low + 9])
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], {}), ("DequantizeLinear", ["q", "s", "z"], ["y"], {})]
    if between:
        nodes.insert(1, (between, ["q"], ["r"], {}))
        nodes[2] = ("DequantizeLinear", ["r", "s", "z"], ["y"], {})
    constants = {"s": np.float32(1), "z": zero}
    found = agree(nodes, {"x": x}, constants, np.float32)
    assert (found.min(), found.max()) == (-9, 6)


def test_four_bit_weights_in_blocks(draw):
    weight = helper.make_tensor("w", TensorProto.INT4, [6, 5], draw.integers(-8, 8, 30).tolist())
    zero = helper.make_tensor("z", TensorProto.INT4, [3, 5], draw.integers(-8, 8, 15).tolist())
    nodes = [
        ("DequantizeLinear", ["w", "s", "z"], ["d"], {"axis": 0, "block_size": 2}),
        ("MatMul", ["x", "d"], ["y"], {}),
    ]
    constants = {"w": weight, "z": zero, "s": draw.uniform(0.1, 1, (3, 5)).astype(np.float32)}
    agree(nodes, {"x": draw.standard_normal((7, 6)).astype(np.float32)}, constants, np.float32, 1e-6)


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
@pytest.mark.parametrize("output", [0, 1, 2])
def test_dynamic_quantisation(draw, shift, output):
    x = (draw.standard_normal((40, 3)) * 4 + shift).astype(np.float32)
    names = ["a", "b", "c"]
    names[output] = "q"
    nodes = [
        ("DynamicQuantizeLinear", ["x"], names, {}),
        ("Cast", ["q"], ["f"], {"to": 1}),
        ("Mul", ["x", "f"], ["y"], {}),
    ]
    agree(nodes, {"x": x}, {}, np.float32)


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=named)
@pytest.mark.parametrize("depth", [7, 900])
def test_products_of_whole_numbers(draw, left, right, depth):
    a, b = whole(draw, left, 2, 5, depth), whole(draw, right, depth, 6)
    constants = {"b": b, "az": middle(left), "bz": middle(right) + np.arange(6).astype(right)}
    agree([("MatMulInteger", ["x", "b", "az", "bz"], ["y"], {})], {"x": a}, constants, np.int32)
    agree([("MatMulInteger", ["x", "b"], ["y"], {})], {"x": a}, constants, np.int32)
    scales = {"as": np.float32(0.02), "bs": np.linspace(0.01, 0.03, 6).astype(np.float32)}
    constants |= scales | {"ys": np.float32(0.025 * depth**0.5), "yz": middle(left, 3)}
    names = ["x", "as", "az", "b", "bs", "bz", "ys", "yz"]
    agree([("QLinearMatMul", names, ["y"], {})], {"x": a}, constants, left)
    constants["bias"] = draw.standard_normal(6).astype(np.float32)
    names = ["x", "b", "as", "bs", "az", "bz", "bias"]
    agree([("MatMulIntegerToFloat", names, ["y"], MS)], {"x": a}, constants, np.float32, 1e-6)
    x = {"x": draw.standard_normal((2, 5, depth)).astype(np.float32)}
    agree([("DynamicQuantizeMatMul", ["x", "b", "bs", "bz", "bias"], ["y"], MS)], x, constants, np.float32, 1e-6)


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=named)
@pytest.mark.parametrize("turned", [0, 1])
def test_gemm(draw, left, right, turned):
    a, b = whole(draw, left, 5, 30), whole(draw, right, 30, 6)
    a, b = (np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)) if turned else (a, b)
    constants = {"b": b, "as": np.float32(0.02), "az": middle(left), "bs": np.float32(0.03), "bz": middle(right)}
    constants |= {"c": draw.integers(-9999, 9999, 6).astype(np.int32), "ys": np.float32(0.2), "yz": middle(left, 3)}
    attributes = MS | {"transA": turned, "transB": turned, "alpha": 0.7}
    names = ["x", "as", "az", "b", "bs", "bz", "c"]
    agree([("QGemm", names, ["y"], attributes)], {"x": a}, constants, np.float32, 1e-6)
    agree([("QGemm", [*names, "ys", "yz"], ["y"], attributes)], {"x": a}, constants, left)


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=named)
@pytest.mark.parametrize("channels", [2, 64])
@pytest.mark.parametrize("last", [0, 1])
def test_convolutions(draw, left, right, channels, last):
    x, w = whole(draw, left, 2, channels, 6, 7), whole(draw, right, 4, channels // 2, 3, 3)
    constants = {"w": w, "xs": np.float32(0.02), "xz": middle(left), "wz": np.full(4, middle(right, 2))}
    constants |= {"ws": np.linspace(0.01, 0.03, 4).astype(np.float32), "ys": np.float32(0.1 * channels**0.5)}
    constants |= {"yz": middle(left, 3), "b": draw.integers(-9999, 9999, 4).astype(np.int32)}
    attributes = {"pads": [1, 0, 1, 1], "strides": [1, 2], "group": 2}
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    if last:
        attributes |= MS | {"channels_last": 1}
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    else:
        integer = constants | {"wz": middle(right, 2)}
        agree([("ConvInteger", ["x", "w", "xz", "wz"], ["y"], attributes)], {"x": x}, integer, np.int32)
    agree([("QLinearConv", names, ["y"], attributes)], {"x": x}, constants, left)


@pytest.mark.parametrize("kind", BYTES, ids=named)
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("shape", [(64, 50), (50,), (64, 1), (1,)])
def test_sums_and_products(draw, kind, op, shape):
    constants = {"as": np.float32(0.031), "az": middle(kind), "bs": np.float32(0.017), "bz": middle(kind, -9)}
    constants |= {"b": whole(draw, kind, *shape), "ys": np.float32(0.043), "yz": middle(kind, 3)}
    x = {"x": whole(draw, kind, 64, 50)}
    agree([(op, ["x", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"], MS)], x, constants, kind, ADDED)
    agree([(op, ["b", "bs", "bz", "x", "as", "az", "ys", "yz"], ["y"], MS)], x, constants, kind, ADDED)


def test_sums_that_meet_halves():
    inputs = {"x": np.arange(256, dtype=np.uint8).repeat(256), "b": np.tile(np.arange(256, dtype=np.uint8), 256)}
    constants = {"as": np.float32(0.036), "bs": np.float32(0.008), "ys": np.float32(0.016)}
    constants |= {"az": np.uint8(135), "bz": np.uint8(121), "yz": np.uint8(127)}
    names = ["x", "as", "az", "b", "bs", "bz", "ys", "yz"]
    agree([("QLinearAdd", names, ["y"], MS)], inputs, constants, np.uint8, ADDED)


def test_sums_of_products_beyond_float32(draw):
    large = {"low": 200, "high": 256}
    a, b = draw.integers(**large, size=(3, 4001)), draw.integers(**large, size=(4001, 9))
    found = agree(
        [("MatMulInteger", ["x", "b"], ["y"], {})], {"x": a.astype(np.uint8)}, {"b": b.astype(np.uint8)}, np.int32
    )
    assert found.min() > 1 << 26
    x, w = draw.integers(**large, size=(1, 400, 5, 5)), draw.integers(**large, size=(3, 400, 3, 3))
    found = agree(
        [("ConvInteger", ["x", "w"], ["y"], {})], {"x": x.astype(np.uint8)}, {"w": w.astype(np.uint8)}, np.int32
    )
    assert found.min() > 1 << 26


@pytest.mark.parametrize("kind", BYTES, ids=named)
@pytest.mark.parametrize(
    ("op", "step", "attributes"),
    [
        ("QLinearSigmoid", 1 / 256, {}),
        ("QLinearLeakyRelu", 0.02, {"alpha": 0.2}),
        ("QLinearGlobalAveragePool", 0.004, {}),
        ("QLinearGlobalAveragePool", 0.01, {"channels_last": 1}),
        ("QLinearAveragePool", 0.02, {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]}),
        ("QLinearAveragePool", 0.02, {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0], "count_include_pad": 1}),
        ("QLinearAveragePool", 0.02, {"kernel_shape": [2, 2], "channels_last": 1}),
        ("QLinearAveragePool", 0.02, {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1}),
        (
            "QLinearAveragePool",
            0.02,
            {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1, "count_include_pad": 1},
        ),
        ("QLinearAveragePool", 0.02, {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
        ("QLinearSoftmax", 1 / 256, {"axis": 2, "opset": 13}),
        ("QLinearSoftmax", 1 / 256, {"axis": 1, "opset": 12}),
    ],
)
def test_functions_of_one_tensor(draw, kind, op, step, attributes):
    low = np.array(np.iinfo(kind).min, kind)
    constants = {"as": np.float32(0.031), "az": middle(kind), "ys": np.float32(step), "yz": middle(kind, 3)}
    constants["yz"] = low if op in ("QLinearSoftmax", "QLinearSigmoid") else constants["yz"]
    x = {"x": whole(draw, kind, 5, 4, 6, 7)}
    agree([(op, ["x", "as", "az", "ys", "yz"], ["y"], MS | attributes)], x, constants, kind)


@pytest.mark.parametrize("dims", [1, 3])
def test_convolutions_over_other_dimensions(draw, dims):
    x, w = whole(draw, np.uint8, 2, 2, *([5] * dims)), whole(draw, np.int8, 3, 2, *([2] * dims))
    constants = {"w": w, "s": np.float32(0.02), "z": np.uint8(90), "n": np.int8(0), "ys": np.float32(0.1 * dims)}
    names = ["x", "s", "z", "w", "s", "n", "ys", "z"]
    agree([("QLinearConv", names, ["y"], {"pads": [1] * 2 * dims})], {"x": x}, constants, np.uint8)


def test_pools_refuse_a_padding_that_onnxruntime_makes_negative():
    attributes = {"kernel_shape": [1], "strides": [3], "auto_pad": "SAME_UPPER"}
    model = model_of([("AveragePool", ["x"], ["y"], attributes)], {"x": np.ones((1, 1, 6), np.float32)}, {}, 1)
    with pytest.raises(UntranslatableError, match="auto_pad"):
        translate(model, None, "x", "y").module(torch.arange(6.0).reshape(1, 1, 6))


@pytest.mark.parametrize("kind", BYTES, ids=named)
def test_joins_of_two_scales(draw, kind):
    inputs = {"x": whole(draw, kind, 4, 30), "b": whole(draw, kind, 4, 30)}
    constants = {"as": np.float32(0.031), "az": middle(kind), "bs": np.float32(0.017), "bz": middle(kind, -9)}
    constants |= {"ys": np.float32(0.023), "yz": middle(kind, 3), "c": draw.random((4, 30)) > 0.5}
    names = ["x", "as", "az", "b", "bs", "bz"]
    agree([("QLinearConcat", ["ys", "yz", *names], ["y"], MS | {"axis": 1})], inputs, constants, kind)
    agree([("QLinearWhere", ["c", *names, "ys", "yz"], ["y"], MS)], inputs, constants, kind)


@pytest.mark.parametrize(
    ("bits", "zeros"),
    [(2, "none"), (2, "packed"), (2, "floats"), (4, "none"), (4, "packed"), (4, "floats"), (8, "none"), (8, "packed")],
)
@pytest.mark.parametrize("level", [0, 4])
def test_weights_of_a_few_bits(draw, bits, zeros, level):
    depth, width, block = 50, 6, 32
    blocks = -(-depth // block)
    constants = {"w": whole(draw, np.uint8, width, blocks, block * bits // 8)}
    constants["s"] = draw.uniform(0.01, 0.1, width * blocks).astype(np.float32)
    constants["packed"] = whole(draw, np.uint8, width * -(-blocks * bits // 8))
    constants["floats"] = draw.uniform(0, 2**bits, width * blocks).astype(np.float32)
    attributes = MS | {"K": depth, "N": width, "bits": bits, "block_size": block, "accuracy_level": level}
    names = ["x", "w", "s"] + ([] if zeros == "none" else [zeros])
    x = {"x": draw.standard_normal((2, 3, depth)).astype(np.float32)}
    agree([("MatMulNBits", names, ["y"], attributes)], x, constants, np.float32, 2e-6)


@pytest.mark.parametrize(
    ("nodes", "constants", "reason"),
    [
        ([("QuantizeLinear", ["x", "s"], ["y"], {"output_dtype": TensorProto.FLOAT8E4M3FN})], {}, "FLOAT8E4M3FN"),
        ([("QuantizeLinear", ["x", "s", "z"], ["y"], {})], {"z": (TensorProto.FLOAT8E5M2, 0)}, "FLOAT8E5M2"),
        (
            [("QuantizeLinear", ["x", "s", "z"], ["q"], {}), ("Concat", ["q", "q"], ["y"], {"axis": 0})],
            {"z": (TensorProto.INT4, 0)},
            "Concat on integers of type INT4",
        ),
        ([("Cast", ["x"], ["y"], {"to": TensorProto.INT4})], {}, None),
    ],
)
def test_refused_types(nodes, constants, reason):
    values = {name: helper.make_tensor(name, code, [], [value]) for name, (code, value) in constants.items()}
    model = model_of(nodes, {"x": np.ones((2, 3), np.float32)}, values | {"s": np.float32(1)}, 0)
    translation = translate(model, None, "x", "y")
    if translation.module is None:
        assert reason in translation.reason
        return
    with pytest.raises(Exception, match=reason or "data type"):
        translation.module(torch.ones(2, 3))


def test_external_four_bit_constants(tmp_path):
    weight = helper.make_tensor("w", TensorProto.INT4, [3, 3], [-8, -7, -1, 0, 1, 2, 5, 6, 7])
    nodes = [("DequantizeLinear", ["w", "s"], ["d"], {}), ("MatMul", ["x", "d"], ["y"], {})]
    x = np.eye(3, dtype=np.float32)
    model = model_of(nodes, {"x": x}, {"w": weight, "s": np.float32(1)}, TensorProto.FLOAT)
    settings = {"save_as_external_data": True, "size_threshold": 0, "convert_attribute": False, "location": "w.bin"}
    onnx.save(model, str(tmp_path / "m.onnx"), **settings)
    loaded = onnx.load(str(tmp_path / "m.onnx"), load_external_data=False)
    assert any(proto.data_location == TensorProto.EXTERNAL for proto in loaded.graph.initializer)
    found = translate(loaded, tmp_path, "x", "y").module(torch.from_numpy(x))
    assert found.tolist() == [[-8, -7, -1], [0, 1, 2], [5, 6, 7]]
