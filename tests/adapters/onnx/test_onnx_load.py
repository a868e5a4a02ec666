"""Loading: contract, range, layout, batch, output kinds; always against onnxruntime on the same file."""

import numpy as np
import pytest
import torch
from onnx import helper

from robcheck.adapters.onnx import load_onnx
from robcheck.harness.classifier import Classifier
from robcheck.harness.errors import DeviceError, ModelError


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 15, 18, 20, 21, 24])
def test_cnn_of_every_age(cnn, run_file, opset, agree):
    path = cnn(opset=opset)
    classifier = load_onnx(path)
    x = torch.rand(6, 3, 8, 8)
    agree(classifier, x, run_file(path, x))
    info = classifier.info
    assert isinstance(classifier, Classifier)
    assert (info.input_shape, info.classes, info.output, info.batch) == ((3, 8, 8), 5, "logits", None)
    assert (info.opset, info.provider, info.operators["Conv"]) == (opset, "CPUExecutionProvider", 1)
    assert len(info.sha256) == 64
    assert info.twin.parity is not None
    assert info.twin.parity < 1e-5
    assert info.obstacles == {}
    assert classifier.check_parity(x).samples == 6


def test_the_file_is_not_touched_and_weights_have_no_gradient(cnn):
    path = cnn()
    before = path.read_bytes()
    classifier = load_onnx(path)
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    classifier.differentiable("bpda")(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert list(classifier.differentiable().parameters()) == []
    assert not classifier.logits(x).requires_grad
    assert path.read_bytes() == before


def test_batch_normalisation_is_fused(cnn):
    steps = load_onnx(cnn()).translation.graph._steps
    assert [step.node.op for step in steps] == ["Conv", "Relu", "MaxPool", "Flatten", "Gemm"]


@pytest.mark.parametrize("batch", [1, 3])
def test_fixed_batch_is_chunked_and_padded(cnn, run_file, batch, agree):
    path = cnn(batch=batch)
    classifier = load_onnx(path)
    x = torch.rand(7, 3, 8, 8)
    padded = torch.cat([x, x[-1:], x[-1:]])[: 9 if batch == 3 else 7]
    expected = np.concatenate([run_file(path, padded[i : i + batch]) for i in range(0, len(padded), batch)])[:7]
    assert classifier.info.batch == batch
    agree(classifier, x, expected)


def test_batch_one_with_a_constant_reshape_goes_through_vmap(save, weights, run_file):
    nodes = [("Reshape", ["x", "shape"], ["f"]), ("MatMul", ["f", "w"], ["a"]), ("Softmax", ["a"], ["y"])]
    values = {"shape": np.array([1, 12]), "w": weights(12, 4)}
    path = save(nodes, values, [1, 3, 2, 2])
    classifier = load_onnx(path)
    assert classifier.translation.strategy == "vmap"
    x = torch.rand(5, 3, 2, 2, requires_grad=True)
    twin = classifier.differentiable()(x)
    expected = np.concatenate([run_file(path, x.detach()[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(torch.softmax(twin, 1).detach(), expected, atol=1e-6)
    (gradient,) = torch.autograd.grad(twin[:, 0].sum(), x)
    np.testing.assert_allclose(gradient[2].reshape(-1), values["w"][:, 0], atol=1e-6)


def test_shape_arithmetic_under_vmap(save, weights, run_file, agree):
    nodes = [
        ("Shape", ["x"], ["s"]),
        ("Gather", ["s", "zero"], ["n"]),
        ("Unsqueeze", ["n", "axis"], ["n1"]),
        ("Concat", ["n1", "rest"], ["t"], {"axis": 0}),
        ("Reshape", ["x", "t"], ["f"]),
        ("Expand", ["token", "one"], ["e"]),
        ("Concat", ["e", "f"], ["c"], {"axis": 1}),
        ("Gemm", ["c", "w"], ["y"]),
    ]
    values = {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1]), "one": np.array([1, 2])}
    values |= {"token": weights(1, 2), "w": weights(14, 3)}
    path = save(nodes, values, [1, 3, 2, 2])
    x = torch.rand(4, 3, 2, 2)
    classifier = load_onnx(path)
    assert classifier.translation.strategy == "vmap"
    agree(classifier, x, np.concatenate([run_file(path, x[i : i + 1]) for i in range(4)]))


def test_open_batch_that_mixes_samples_is_run_one_by_one(save, weights, run_file, agree):
    nodes = [
        ("ReduceMean", ["x"], ["m"], {"axes": [0]}),
        ("Add", ["x", "x"], ["two"]),
        ("Sub", ["two", "m"], ["d"]),
        ("Gemm", ["d", "w"], ["y"]),
    ]
    path = save(nodes, {"w": weights(12, 4)}, ["N", 12])
    classifier = load_onnx(path)
    x = torch.rand(3, 12)
    assert classifier.info.batch == 1
    assert any("mixes samples" in note for note in classifier.info.notes)
    assert classifier.translation.strategy == "vmap"
    agree(classifier, x, np.concatenate([run_file(path, x[i : i + 1]) for i in range(3)]))


def test_open_batch_that_fails_on_two_samples_is_run_one_by_one(save, weights, run_file, agree):
    nodes = [("Reshape", ["x", "shape"], ["f"]), ("MatMul", ["f", "w"], ["y"])]
    path = save(nodes, {"shape": np.array([1, 12]), "w": weights(12, 4)}, ["N", 3, 2, 2])
    classifier = load_onnx(path)
    x = torch.rand(3, 3, 2, 2)
    assert classifier.info.batch == 1
    assert any("one by one" in note for note in classifier.info.notes)
    agree(classifier, x, np.concatenate([run_file(path, x[i : i + 1]) for i in range(3)]))


def test_flat_input_takes_any_shape_with_the_same_pixels(save, weights):
    nodes = [
        ("Flatten", ["x"], ["f"]),
        ("Gemm", ["f", "w"], ["h"]),
        ("Relu", ["h"], ["r"]),
        ("Gemm", ["r", "v"], ["y"]),
    ]
    classifier = load_onnx(save(nodes, {"w": weights(16, 6), "v": weights(6, 3)}, [1, 16, 1], opset=11))
    x = torch.rand(5, 1, 4, 4)
    assert classifier.info.input_shape == (16, 1)
    assert torch.equal(classifier.logits(x), classifier.logits(x.reshape(5, 16, 1)))
    assert torch.equal(classifier.differentiable()(x), classifier.differentiable()(x.reshape(5, 16)))
    with pytest.raises(ModelError, match="takes"):
        classifier.logits(torch.rand(5, 15))


def test_other_shapes_are_refused(cnn):
    classifier = load_onnx(cnn())
    for shape in [(2, 192), (2, 8, 8, 3), (3, 8, 8), (0, 3, 8, 8)]:
        with pytest.raises(ModelError) as caught:
            classifier.logits(torch.rand(shape))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", [None, "nhwc"])
def test_channels_last_file(save, weights, run_file, layout, agree):
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["t", "w"], ["c"], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ("Flatten", ["c"], ["f"]),
        ("Gemm", ["f", "g"], ["y"]),
    ]
    path = save(nodes, {"w": weights(2, 3, 4, 4), "g": weights(32, 4)}, ["N", 8, 7, 3])
    classifier = load_onnx(path, layout=layout)
    x = torch.rand(2, 3, 8, 7)
    assert classifier.info.input_shape == (3, 8, 7)
    assert any("NHWC" in note for note in classifier.info.notes)
    agree(classifier, x, run_file(path, x.permute(0, 2, 3, 1)))
    assert load_onnx(path, layout="nchw").info.input_shape == (8, 7, 3)


def test_range_mean_and_std(cnn, run_file, agree):
    path = cnn()
    x = torch.rand(3, 3, 8, 8)
    agree(load_onnx(path, input_range=(0, 255)), x, run_file(path, x * 255), 1e-2)
    agree(load_onnx(path, input_range=(-1, 1)), x, run_file(path, x * 2 - 1))
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
    normal = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    classifier = load_onnx(path, mean=mean, std=std)
    agree(classifier, x, run_file(path, normal))
    assert classifier.info.mean == (0.4, 0.5, 0.6)
    agree(load_onnx(path, mean=mean, std=std, bounds=(0, 255)), x * 255, run_file(path, normal))
    with pytest.raises(ModelError, match="one of them"):
        load_onnx(path, mean=mean, std=std, input_range=(0, 255))
    with pytest.raises(ModelError, match="do not fit"):
        load_onnx(path, mean=[0.5, 0.5])


def test_identity_mapping_is_no_arithmetic(cnn):
    entry = load_onnx(cnn())._entry
    x = torch.rand(2, 3, 8, 8)
    assert entry(x) is x


def test_normalisation_inside_the_graph(save, weights, run_file, agree):
    nodes = [
        ("Div", ["x", "k"], ["a"]),
        ("Sub", ["a", "m"], ["b"]),
        ("Div", ["b", "s"], ["c"]),
        ("GlobalAveragePool", ["c"], ["p"]),
        ("Squeeze", ["p", "axes"], ["q"]),
        ("MatMul", ["q", "w"], ["y"]),
    ]
    values = {"k": np.float32(255), "m": weights(1, 3, 1, 1), "s": np.abs(weights(1, 3, 1, 1)) + 1}
    path = save(nodes, values | {"axes": np.array([2, 3]), "w": weights(3, 4)}, ["N", 3, 8, 8])
    x = torch.rand(3, 3, 8, 8) * 255
    agree(load_onnx(path, bounds=(0, 255)), x, run_file(path, x))


def test_devices(cnn):
    for device in ("cuda", "cuda:0", "tpu"):
        if device == "tpu" or not torch.cuda.is_available():
            with pytest.raises(DeviceError) as caught:
                load_onnx(cnn(), device=device)
            assert "\n" not in str(caught.value)


def test_parity_failure_closes_the_twin(cnn):
    classifier = load_onnx(cnn())
    name, weight = next(iter(classifier.translation.graph.named_buffers()))
    weight.add_(0.5)
    record = classifier.check_parity(torch.rand(8, 3, 8, 8))
    assert not record.available
    assert "differs" in record.reason
    assert classifier.info.twin == record
    assert classifier.differentiable() is None
    weight.sub_(0.5)
    assert name
    assert not classifier.check_parity(torch.rand(8, 3, 8, 8)).available


def test_local_functions_are_inlined(cnn, run_file, agree):
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    tail = [("Twice", ["logits"], ["y"], {"domain": "own"})]
    path = cnn(tail=tail, functions=[function], opsets=[("", 17), ("own", 1)])
    x = torch.rand(3, 3, 8, 8)
    agree(load_onnx(path), x, run_file(path, x))
