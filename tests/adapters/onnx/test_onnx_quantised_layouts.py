"""Operators that move or compare whole numbers between quantising and dequantising, against onnxruntime."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx.translator.node import UntranslatableError
from robcheck.adapters.onnx.translator.translate import translate

CASES = {
    "pool": (["MaxPool", "q"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "padded pool": (["MaxPool", "q"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "open pool": (["MaxPool", "q"], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "frame": (["Pad", "q", "frame", "seven"], {}),
    "edge": (["Pad", "q", "frame"], {"mode": "edge"}),
    "reflect": (["Pad", "q", "frame"], {"mode": "reflect"}),
    "join": (["Concat", "q", "q"], {"axis": 1}),
    "flat": (["Reshape", "q", "flat"], {}),
    "matrix": (["Flatten", "q"], {}),
    "turn": (["Transpose", "q"], {"perm": [0, 2, 3, 1]}),
    "pick": (["Gather", "q", "picked"], {"axis": 1}),
    "cut": (["Slice", "q", "from", "to", "on"], {}),
    "clip": (["Clip", "q", "seven", "ninety"], {}),
    "grow": (["Resize", "q", "", "twice"], {"mode": "nearest", "nearest_mode": "floor"}),
    "blend": (["Resize", "q", "", "twice"], {"mode": "linear"}),
    "lift": (["Unsqueeze", "q", "one"], {}),
    "tile": (["Tile", "q", "times"], {}),
    "greatest": (["ReduceMax", "q", "on"], {}),
    "least": (["Min", "q", "ninety"], {}),
    "sum": (["Add", "q", "seven"], {}),
    "blocks": (["SpaceToDepth", "q"], {"blocksize": 2}),
}


def constants(kind):
    whole = {
        "frame": [0, 0, 1, 2, 0, 0, 2, 1],
        "flat": [0, -1],
        "picked": [2, 0],
        "from": [1, 0],
        "to": [5, 4],
        "on": [2, 3],
        "one": [1],
        "times": [1, 2, 1, 1],
    }
    values = {name: np.array(value) for name, value in whole.items()}
    values |= {"seven": np.array(7, kind), "ninety": np.array(90, kind)}
    values |= {"s": np.float32(0.05), "z": np.array(120 if kind is np.uint8 else -3, kind)}
    return values | {"twice": np.array([1, 1, 2, 2], np.float32)}


def model_of(case, kind):
    (op, *inputs), attributes = CASES[case]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node(op, inputs, ["r"], **attributes),
            helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants(kind).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model


@pytest.mark.parametrize("kind", [np.uint8, np.int8], ids=["uint8", "int8"])
@pytest.mark.parametrize("case", CASES)
def test_whole_numbers_pass_through(case, kind):
    model = model_of(case, kind)
    x = (np.random.default_rng(9).standard_normal((2, 3, 6, 6)) * 3).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": x})[0]
    module = translate(model, None, "x", "y").module
    start = torch.from_numpy(x).requires_grad_()
    assert np.array_equal(module(start).numpy(), expected)
    y = module(start, bpda=True)
    assert np.array_equal(y.detach().numpy(), expected)
    (gradient,) = torch.autograd.grad(y.sum(), start)
    assert gradient.sum() > 0.9


@pytest.mark.parametrize("attributes", [{"mode": "cubic"}, {"mode": "linear", "antialias": 1}])
def test_blends_of_whole_numbers_that_no_one_defines_are_refused(attributes):
    CASES["refused"] = (["Resize", "q", "", "twice"], attributes)
    module = translate(model_of("refused", np.uint8), None, "x", "y").module
    del CASES["refused"]
    with pytest.raises(UntranslatableError, match="Resize"):
        module(torch.rand(2, 3, 6, 6))
