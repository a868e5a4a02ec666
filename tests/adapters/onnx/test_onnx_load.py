"""Loading: contract, range, layout, batch, output kinds; always against onnxruntime on the same file."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from robcheck.adapters.onnx import load_onnx
from robcheck.harness.classifier import Classifier
from robcheck.harness.errors import DeviceError, ModelError


def agree(classifier, x, expected, tolerance=1e-5):
    found = classifier.logits(x)
    np.testing.assert_allclose(found.numpy(), expected, atol=tolerance, rtol=0)
    twin = classifier.differentiable()
    assert twin is not None, classifier.info.twin.reason
    np.testing.assert_allclose(twin(x).detach().numpy(), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 15, 18, 20, 21, 24])
def test_cnn_of_every_age(cnn, run_file, opset):
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
def test_fixed_batch_is_chunked_and_padded(cnn, run_file, batch):
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


def test_shape_arithmetic_under_vmap(save, weights, run_file):
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


def test_open_batch_that_mixes_samples_is_run_one_by_one(save, weights, run_file):
    nodes = [("Flatten", ["x"], ["f"]), ("ReduceMean", ["f"], ["m"], {"axes": [0]}), ("Gemm", ["m", "w"], ["y"])]
    nodes.insert(2, ("Sub", ["f", "m"], ["d"]))
    nodes[3] = ("Gemm", ["d", "w"], ["g"])
    nodes.append(("Add", ["g", "m2"], ["a"]))
    nodes.append(("MatMul", ["m", "w"], ["m2"]))
    nodes.append(("Identity", ["a"], ["y"]))
    path = save(nodes, {"w": weights(12, 4)}, ["N", 12])
    classifier = load_onnx(path)
    x = torch.rand(3, 12)
    np.testing.assert_allclose(classifier.logits(x), np.concatenate([run_file(path, x[i : i + 1]) for i in range(3)]))
    assert classifier.info.batch is None


def test_open_batch_that_fails_on_two_samples_is_run_one_by_one(save, weights, run_file):
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
    classifier = load_onnx(save(nodes, {"w": weights(16, 6), "v": weights(6, 3)}, [1, 16, 1], opset=9, ir=4))
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
def test_channels_last_file(save, weights, run_file, layout):
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


def test_range_mean_and_std(cnn, run_file):
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


def test_normalisation_inside_the_graph(save, weights, run_file):
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


def test_log_softmax_and_homemade_softmax(cnn, run_file):
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
    tail = [("Softmax", ["logits"], ["p"], {"axis": 1}), ("ArgMax", ["p"], ["y"], {"axis": 1, "keepdims": keep})]
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


def test_uint8_input(save, weights, run_file):
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


def test_open_height_and_width(save, weights, run_file):
    nodes = [("Conv", ["x", "w"], ["c"]), ("GlobalMaxPool", ["c"], ["y"])]
    path = save(nodes, {"w": weights(4, 3, 3, 3)}, ["N", 3, "H", "W"])
    classifier = load_onnx(path)
    assert classifier.info.input_shape is None
    x = torch.rand(2, 3, 9, 11)
    agree(classifier, x, run_file(path, x).reshape(2, 4))


def test_missing_operators_are_listed_completely(cnn):
    tail = [("NonZero", ["logits"], ["z"]), ("Cast", ["z"], ["zf"], {"to": 1}), ("ReduceSum", ["zf"], ["sum"])]
    tail += [("Det", ["square"], ["d"]), ("Mul", ["sum", "zero"], ["o"]), ("Add", ["o", "d"], ["od"])]
    tail += [("Add", ["logits", "od"], ["y"]), ("MatMul", ["lt", "logits"], ["square"])]
    tail += [("Transpose", ["logits"], ["lt"]), ("Constant", [], ["zero"], {"value_float": 0.0})]
    classifier = load_onnx(cnn(tail=tail, batch=1))
    assert classifier.info.missing_operators == ("Det", "NonZero")
    assert classifier.differentiable() is None
    assert "Det, NonZero" in classifier.info.twin.reason
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
    assert classifier.differentiable() is None


def test_nan_is_handed_on(cnn, checker):
    path = cnn()
    model = checker.load(str(path))
    bias = next(t for t in model.graph.initializer if t.name == "h")
    bias.CopyFrom(checker.numpy_helper.from_array(np.full(5, np.nan, dtype=np.float32), "h"))
    path.write_bytes(model.SerializeToString())
    assert load_onnx(path).logits(torch.rand(2, 3, 8, 8)).isnan().all()


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


def test_local_functions_are_inlined(cnn, run_file):
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    tail = [("Twice", ["logits"], ["y"], {"domain": "own"})]
    path = cnn(tail=tail, functions=[function], opsets=[("", 17), ("own", 1)])
    x = torch.rand(3, 3, 8, 8)
    agree(load_onnx(path), x, run_file(path, x))
