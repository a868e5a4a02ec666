"""What a file answers with and takes in: probabilities, labels, several outputs, integers, operators without a twin."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, numpy_helper

from robcheck.adapters.onnx import load_onnx
from robcheck.harness.errors import ModelError


def test_softmax_output_is_tapped(cnn, run_file):
    path = cnn(tail=[("Softmax", ["logits"], ["y"], {"axis": 1})])
    classifier = load_onnx(path)
    x = torch.rand(5, 3, 8, 8)
    assert classifier.info.output == "probabilities"
    assert "Softmax" in classifier.info.twin.reason
    assert classifier.info.obstacles == {}
    np.testing.assert_allclose(classifier.logits(x).exp(), run_file(path, x), atol=1e-6)
    twin = classifier.differentiable()(x)
    np.testing.assert_allclose(torch.softmax(twin, 1).detach(), run_file(path, x), atol=1e-6)
    assert not torch.allclose(twin.exp().sum(1), torch.ones(5))


def test_log_softmax_and_homemade_softmax(cnn, run_file, agree):
    x = torch.rand(5, 3, 8, 8)
    path = cnn(tail=[("LogSoftmax", ["logits"], ["y"], {"axis": -1})])
    classifier = load_onnx(path)
    assert classifier.info.output == "log-probabilities"
    np.testing.assert_allclose(classifier.logits(x), run_file(path, x), atol=1e-5)
    axes = {"axes": [1], "keepdims": 1}
    tail = [("Exp", ["logits"], ["e"]), ("ReduceL1", ["e"], ["z"], axes), ("Div", ["e", "z"], ["y"])]
    homemade = load_onnx(cnn(tail=tail, name="home.onnx"))
    assert homemade.info.output == "probabilities"
    agree(homemade, x, homemade.logits(x).numpy())


@pytest.mark.parametrize("keep", [0, 1])
def test_labels_only(cnn, keep, run_file):
    tail = [("Softmax", ["logits"], ["prob"], {"axis": 1}), ("ArgMax", ["prob"], ["y"], {"axis": 1, "keepdims": keep})]
    path = cnn(tail=tail, kinds=(TensorProto.INT64,))
    classifier = load_onnx(path)
    x = torch.rand(9, 3, 8, 8)
    assert (classifier.info.output, classifier.info.classes) == ("labels", 5)
    assert classifier.logits(x).argmax(1).tolist() == run_file(path, x).reshape(-1).tolist()
    assert set(classifier.logits(x).unique().tolist()) == {0.0, 1.0}
    assert classifier.check_parity(x).parity == 0.0
    x.requires_grad_()
    assert torch.autograd.grad(classifier.differentiable()(x).sum(), x)[0].abs().sum() > 0


def test_labels_of_unknown_number_are_refused(cnn):
    tail = [("NonZero", ["logits"], ["z"]), ("ArgMax", ["logits"], ["l"], {"axis": 1, "keepdims": 0})]
    tail += [("BitShift", ["u"], ["y"])]
    tail[2:] = [("Cast", ["l"], ["i"], {"to": TensorProto.INT32}), ("BitwiseNot", ["i"], ["j"]), ("Abs", ["j"], ["y"])]
    path = cnn(tail=tail, opset=18, kinds=(TensorProto.INT32,))
    with pytest.raises(ModelError, match="export it with scores"):
        load_onnx(path)


def test_first_scores_of_several_outputs(cnn):
    tail = [("ArgMax", ["logits"], ["label"], {"axis": 1}), ("Identity", ["logits"], ["scores"])]
    classifier = load_onnx(
        cnn(
            tail=tail, outputs=("label", "r", "scores"), kinds=(TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT)
        )
    )
    assert classifier.info.output == "logits"
    assert any("only scores is used" in note for note in classifier.info.notes)


def test_one_column_is_refused(save, weights):
    nodes = [("Flatten", ["x"], ["f"]), ("Gemm", ["f", "w"], ["y"])]
    with pytest.raises(ModelError, match="at least two output columns"):
        load_onnx(save(nodes, {"w": weights(12, 1)}, ["N", 3, 2, 2]))


def test_uint8_input(save, weights, run_file, agree):
    nodes = [
        ("Cast", ["x"], ["c"], {"to": TensorProto.FLOAT}),
        ("Div", ["c", "k"], ["d"]),
        ("Flatten", ["d"], ["f"]),
        ("Gemm", ["f", "w"], ["y"]),
    ]
    path = save(nodes, {"k": np.float32(255), "w": weights(12, 4)}, ["N", 3, 2, 2], kind=TensorProto.UINT8)
    classifier = load_onnx(path)
    pixels = torch.randint(0, 256, (4, 3, 2, 2))
    expected = run_file(path, pixels, np.uint8)
    agree(classifier, pixels / 255, expected)
    assert any("uint8" in note for note in classifier.info.notes)
    nudged = (pixels.clamp(1, 254) + 0.4) / 255
    rounded = torch.round(nudged * 255)
    np.testing.assert_allclose(classifier.logits(nudged), run_file(path, rounded, np.uint8), atol=1e-6)


def test_open_height_and_width(save, weights, run_file, agree):
    nodes = [("Conv", ["x", "w"], ["c"]), ("GlobalMaxPool", ["c"], ["y"])]
    path = save(nodes, {"w": weights(4, 3, 3, 3)}, ["N", 3, "H", "W"])
    classifier = load_onnx(path)
    assert classifier.info.input_shape is None
    x = torch.rand(2, 3, 9, 11)
    agree(classifier, x, run_file(path, x).reshape(2, 4))


def test_missing_operators_are_listed_completely(cnn):
    tail = [("NonZero", ["logits"], ["z"]), ("Cast", ["z"], ["zf"], {"to": 1}), ("ReduceSum", ["zf"], ["sum"])]
    tail += [("Constant", [], ["zero"], {"value_float": 0.0}), ("Mul", ["sum", "zero"], ["o"])]
    tail += [("Constant", [], ["five"], {"value_int": 5}), ("HannWindow", ["five"], ["hann"])]
    tail += [("HammingWindow", ["five"], ["hamming"]), ("Sum", ["logits", "o", "hann", "hamming"], ["y"])]
    classifier = load_onnx(cnn(tail=tail, batch=1))
    assert classifier.info.missing_operators == ("HammingWindow", "HannWindow")
    assert classifier.differentiable() is None
    assert "HammingWindow, HannWindow" in classifier.info.twin.reason
    assert classifier.logits(torch.rand(2, 3, 8, 8)).shape == (2, 5)
    assert "NonZero" in classifier.info.obstacles


def test_obstacles_see_data_and_not_shapes(save, weights):
    nodes = [
        ("Round", ["x"], ["q"]),
        ("Shape", ["x"], ["s"]),
        ("Cast", ["s"], ["sf"], {"to": 1}),
        ("Floor", ["sf"], ["sg"]),
        ("Cast", ["sg"], ["si"], {"to": 7}),
        ("Reshape", ["q", "si"], ["q2"]),
        ("Flatten", ["q2"], ["f"]),
        ("Gemm", ["f", "w"], ["g"]),
        ("Sign", ["g"], ["h"]),
        ("Gemm", ["h", "v"], ["y"]),
    ]
    classifier = load_onnx(save(nodes, {"w": weights(12, 6), "v": weights(6, 3)}, ["N", 3, 2, 2]))
    assert set(classifier.info.obstacles) == {"Round", "Sign"}
    assert classifier.info.twin.available


def test_random_numbers_are_noticed(cnn):
    tail = [("RandomNormalLike", ["logits"], ["noise"]), ("Add", ["logits", "noise"], ["y"])]
    classifier = load_onnx(cnn(tail=tail))
    assert "random" in classifier.info.obstacles["RandomNormalLike"]
    assert any("random" in note for note in classifier.info.notes)
    assert classifier.info.batch is None
    assert classifier.info.random_operators == ("RandomNormalLike",)
    assert classifier.differentiable() is not None


def test_nan_is_handed_on(cnn, rewrite):
    def spoil(model):
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == "h")
        bias.CopyFrom(numpy_helper.from_array(np.full(5, np.nan, dtype=np.float32), "h"))

    assert load_onnx(rewrite(cnn(), spoil)).logits(torch.rand(2, 3, 8, 8)).isnan().all()


def test_features_that_scores_are_made_of_are_no_scores(save, weights):
    nodes = [("MatMul", ["x", "w"], ["features"]), ("Relu", ["features"], ["r"]), ("MatMul", ["r", "v"], ["logits"])]
    values = {"w": weights(12, 24), "v": weights(24, 5)}
    path = save(nodes, values, ["N", 12], outputs=("features", "logits"), kinds=(1, 1))
    classifier = load_onnx(path)
    assert classifier.info.classes == 5
    assert "only logits is used" in classifier.info.notes[0]


def test_whole_inputs_without_a_range_are_refused(save, refused):
    path = save([("Cast", ["x"], ["y"], {"to": 1})], {}, ["N", 12], kind=TensorProto.INT32)
    refused(path, "--range 0-255")


def test_constants_that_grow_without_end_leave_no_twin(save):
    nodes = [("ConstantOfShape", ["s"], [f"c{i}"]) for i in range(12)]
    nodes += [("ReduceSum", [f"c{i}"], [f"r{i}"], {"keepdims": 0}) for i in range(12)]
    nodes += [("Sum", [f"r{i}" for i in range(12)], ["t"]), ("Add", ["x", "t"], ["y"])]
    classifier = load_onnx(save(nodes, {"s": np.array([1 << 23])}, ["N", 12]))
    assert not classifier.info.twin.available
    assert "far larger constants" in classifier.info.twin.reason
