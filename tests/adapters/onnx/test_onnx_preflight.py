"""Broken and hostile files: one sentence, the right error, nothing executed, nothing hanging."""

import os
import pickle
import time
import zipfile

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.file import probing
from robcheck.adapters.onnx.file.preflight import check_file
from robcheck.harness.errors import UnsafeModelError


class Bomb:
    """Touches a marker file when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


def test_missing_folder_and_empty(tmp_path, refused):
    refused(tmp_path / "no.onnx", "does not exist")
    refused(tmp_path, "is a folder")
    (tmp_path / "e.onnx").write_bytes(b"")
    refused(tmp_path / "e.onnx", "is empty")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git lfs pull"),
        (b"<html><body>404 Not Found</body></html>", "text file"),
        (bytes(range(256)) * 40, "no ONNX file|no graph"),
        (b"\xff" * 500, "no ONNX file"),
        (b"\x08\x08", "no graph"),
        (b"PK\x03\x04" + b"\x00" * 60, "zip archive"),
    ],
)
def test_foreign_files(tmp_path, content, match, refused):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    refused(path, match)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_are_not_opened(tmp_path, protocol, refused):
    marker, path = tmp_path / "marker", tmp_path / "m.onnx"
    path.write_bytes(pickle.dumps(Bomb(marker), protocol=protocol))
    assert "torch.onnx.export" in refused(path, "pickle", UnsafeModelError)
    assert not marker.exists()


def test_torch_files_are_not_opened(tmp_path, refused):
    marker, path = tmp_path / "marker", tmp_path / "m.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(marker)))
    refused(path, "PyTorch file", UnsafeModelError)
    torch.save({"weight": torch.zeros(3)}, path)
    refused(path, "PyTorch file", UnsafeModelError)
    assert not marker.exists()


def test_cut_off(cnn, refused):
    path = cnn()
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) - 3, 40):
        path.write_bytes(data[:size])
        refused(path, "cut off|should hold|no graph|without")


@pytest.mark.parametrize(("field", "match"), [("input", "without an input"), ("output", "without an output")])
def test_graph_without_ends(cnn, field, match, refused, rewrite):
    refused(rewrite(cnn(), lambda model: model.graph.ClearField(field)), match)


def test_two_inputs(cnn, refused, rewrite):
    extra = helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1])
    refused(rewrite(cnn(), lambda model: model.graph.input.append(extra)), "2 inputs")


def test_impossible_tensors(cnn, refused, rewrite):
    def cut(model):
        model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]

    def huge(model):
        model.graph.initializer[0].dims[0] = 1 << 60

    def negative(model):
        model.graph.initializer[0].dims[0] = -4

    def unknown(model):
        model.graph.initializer[0].data_type = 99

    for change, match in [(cut, "holds"), (huge, "holds"), (negative, "negative"), (unknown, "unknown")]:
        refused(rewrite(cnn(), change), match)


def test_giant_input(cnn, refused, rewrite):
    def change(model):
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 40

    refused(rewrite(cnn(), change), "shape")


def test_function_bombs(cnn, refused):
    def build(levels, last):
        result = []
        for level in range(levels):
            callee = f"F{level + 1}" if level + 1 < levels else last
            nodes = [
                helper.make_node(callee, ["a"], ["t"], domain="" if callee == "Neg" else "own"),
                helper.make_node(callee, ["t"], ["b"], domain="" if callee == "Neg" else "own"),
            ]
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
            result.append(helper.make_function("own", f"F{level}", ["a"], ["b"], nodes, opsets))
        return result

    more = {"tail": [("F0", ["logits"], ["y"], {"domain": "own"})], "opsets": [("", 17), ("own", 1)]}
    refused(cnn(functions=build(40, "Neg"), **more), "expand")
    refused(cnn(functions=build(3, "F1"), **more), "calls itself")


def test_deep_subgraphs(cnn, refused, rewrite):
    def nest(depth):
        inner = helper.make_graph(
            [helper.make_node("Identity", ["logits"], ["o"])],
            "leaf",
            [],
            [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
        )
        for _ in range(depth):
            node = helper.make_node("If", ["yes"], ["o"], then_branch=inner, else_branch=inner)
            inner = helper.make_graph(
                [node], "level", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
            )
        return inner

    def chain(model):
        inner = nest(2)
        node = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)
        model.graph.node.append(node)

    def deep(model):
        graph = helper.make_graph([helper.make_node("Identity", ["logits"], ["o"])], "g", [], [])
        for _ in range(24):
            graph = helper.make_graph([helper.make_node("If", ["yes"], ["o"], then_branch=graph)], "g", [], [])
        model.graph.node.append(helper.make_node("If", ["yes"], ["z"], then_branch=graph))

    yes = ("Constant", [], ["yes"], {"value": numpy_helper.from_array(np.array(True))})
    tail = [yes, ("Identity", ["logits"], ["unused"])]
    path = rewrite(cnn(tail=tail), chain)
    classifier = load_onnx(path)
    x = torch.rand(2, 3, 8, 8)
    assert classifier.info.missing_operators == ()
    assert "If" not in [step.node.op for step in classifier.translation.graph._steps]
    np.testing.assert_allclose(classifier.differentiable()(x), classifier.logits(x), atol=1e-5)
    refused(rewrite(cnn(tail=tail), deep), "nests")


def test_custom_operator_is_named(cnn, refused):
    tail = [("Magic", ["logits"], ["y"], {"domain": "com.example"})]
    assert "com.example::Magic" in refused(cnn(tail=tail, opsets=[("", 17), ("com.example", 1)]), "custom operators")


def test_float64_convolution_has_no_kernel(save, weights, refused):
    nodes = [("Conv", ["x", "w"], ["c"]), ("GlobalAveragePool", ["c"], ["y"])]
    values = {"w": weights(4, 3, 3, 3).astype(np.float64)}
    path = save(nodes, values, ["N", 3, 6, 6], kind=TensorProto.DOUBLE, kinds=(TensorProto.DOUBLE,))
    refused(path, "export as float32")


def test_unknown_operator_and_future_opset(save, refused):
    refused(save([("Nonsense", ["x"], ["y"])], {}, ["N", 4]), "onnxruntime")
    refused(save([("Relu", ["x"], ["y"])], {}, ["N", 4], opset=999), "onnxruntime")


def test_inputs_that_are_no_pixels(save, refused):
    refused(save([("Identity", ["x"], ["y"])], {}, ["N", 4], kind=TensorProto.STRING), "takes STRING")
    refused(save([("Relu", ["x"], ["y"])], {}, [4]), "batch dimension")


def test_endless_loop_is_stopped(cnn, monkeypatch, refused):
    monkeypatch.setattr(probing.probe, "__defaults__", (3,))
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["v", "v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, None),
        ],
    )
    tail = [
        ("Constant", [], ["trips"], {"value": numpy_helper.from_array(np.array(1 << 62))}),
        ("Constant", [], ["go"], {"value": numpy_helper.from_array(np.array(True))}),
        ("Loop", ["trips", "go", "logits"], ["y"], {"body": body}),
    ]
    path = cnn(tail=tail)
    assert check_file(path).probe
    refused(path, "within 3 s|ended the process")


def test_memory_bomb_is_stopped(cnn, refused):
    tail = [
        ("ConstantOfShape", ["giant"], ["zeros"]),
        ("ReduceMax", ["zeros"], ["zero"], {"keepdims": 0}),
        ("Add", ["logits", "zero"], ["y"]),
        ("Constant", [], ["giant"], {"value": numpy_helper.from_array(np.array([1 << 40]))}),
    ]
    path = cnn(tail=tail)
    assert check_file(path).probe
    refused(path, "cannot be run|ended the process")


def test_ordinary_files_need_no_probe(cnn):
    path = cnn()
    assert not check_file(path).probe
    started = time.monotonic()
    load_onnx(path)
    assert time.monotonic() - started < 3
