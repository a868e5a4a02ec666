"""LSTM, GRU and RNN over the whole space of their attributes, against onnxruntime."""

import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.translator.node import UntranslatableError
from robcheck.adapters.onnx.translator.operators import recurrent
from robcheck.adapters.onnx.translator.translate import translate

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
ARGUMENTS = {"Affine": 2, "LeakyRelu": 1, "ThresholdedRelu": 1, "ScaledTanh": 2, "HardSigmoid": 2, "Elu": 1}
ACTIVATIONS = [*ARGUMENTS, "Relu", "Tanh", "Sigmoid", "Softsign"]


def attributes(chance, op, directions):
    """Activations, clip and the switches of one kind of layer, each sometimes absent."""
    chosen = {}
    if chance.random() < 0.4:
        names = [str(name) for name in chance.choice(ACTIVATIONS, FUNCTIONS[op] * directions)]
        chosen["activations"] = [name.lower() if op != "RNN" and chance.random() < 0.1 else name for name in names]
        for key, needed in (("activation_alpha", 1), ("activation_beta", 2)):
            values = [float(chance.uniform(0.1, 1.2)) for name in names if ARGUMENTS.get(name, 0) >= needed]
            chosen |= {key: values} if values else {}
    if chance.random() < 0.3:
        chosen["clip"] = float(chance.uniform(0.1, 1.5))
    if op == "LSTM" and chance.random() < 0.25:
        chosen["input_forget"] = 1
    if op == "GRU" and chance.random() < 0.5:
        chosen["linear_before_reset"] = 1
    return chosen


def layer(seed, *, plain=False):
    """(model, x, output names) of one random layer."""
    chance = np.random.default_rng(seed)
    op = str(chance.choice(list(GATES)))
    direction = str(chance.choice(["forward", "reverse", "bidirectional"]))
    count = 2 if direction == "bidirectional" else 1
    steps, batch, wide, hidden = (int(size) for size in chance.integers(1, [7, 5, 6, 6]))
    gates = GATES[op]
    known = {"W": (count, gates * hidden, wide), "R": (count, gates * hidden, hidden), "B": (count, 2 * gates * hidden)}
    known |= {"H": (count, batch, hidden)}
    known |= {"C": (count, batch, hidden), "P": (count, 3 * hidden)} if op == "LSTM" else {}
    known = {name: chance.normal(size=shape).astype(np.float32) for name, shape in known.items()}
    known["L"] = chance.integers(0, steps + 1, batch).astype(np.int32)
    left_out = {name for name in ("B", "L", "H", "C", "P") if chance.random() < 0.5} | ({"L", "P"} if plain else set())
    inputs = ["x", "W", "R", *("" if n in left_out or n not in known else n for n in ("B", "L", "H", "C", "P"))]
    more = {"linear_before_reset": 1} if plain and op == "GRU" else {} if plain else attributes(chance, op, count)
    outputs = ["y", "yh", "yc"] if op == "LSTM" else ["y", "yh"]
    node = helper.make_node(
        op, inputs[: 8 if op == "LSTM" else 6], outputs, direction=direction, hidden_size=hidden, **more
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, batch, wide])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in known.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", int(chance.choice([9, 14, 22])))])
    model.ir_version = 8
    return model, chance.normal(size=(steps, batch, wide)).astype(np.float32), outputs


def deployed(model, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def runner(model, outputs, dtype=torch.float32):
    translation = translate(model, None, "x", outputs, dtype)
    assert translation.module is not None, translation.reason
    return lambda x: tuple(translation.module.run([x], bpda=False))


@pytest.mark.parametrize("seed", range(120))
def test_layers_equal_onnxruntime(seed):
    model, x, outputs = layer(seed, plain=seed % 4 == 0)
    for found, expected in zip(runner(model, outputs)(torch.from_numpy(x)), deployed(model, x), strict=True):
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, atol=2e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize("seed", range(30))
def test_layers_under_vmap_and_their_gradients(seed):
    model, x, outputs = layer(seed, plain=seed % 3 == 0)
    forward = runner(model, outputs, torch.float64)
    x = torch.from_numpy(x).double()
    several = torch.stack([x, 0.5 * x, x + 0.3])
    for found, expected in zip(
        torch.func.vmap(forward)(several), zip(*map(forward, several), strict=True), strict=True
    ):
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-9, atol=1e-9)
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(y.shape, dtype=torch.float64, generator=generator) for y in forward(x)]
    direction = torch.randn(x.shape, dtype=torch.float64, generator=generator)

    def total(value):
        return sum((y * weight).sum() for y, weight in zip(forward(value), weights, strict=True))

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(leaf), leaf)
    slope = float(total(x + 1e-6 * direction) - total(x - 1e-6 * direction)) / 2e-6
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_plain_layers_run_in_kernels_and_equal_the_steps(seed, monkeypatch):
    model, x, outputs = layer(seed, plain=True)
    x = torch.from_numpy(x)
    stepped = runner(model, outputs)

    def refuse(*_):
        raise AssertionError("step by step")

    with monkeypatch.context() as patch:
        patch.setattr(recurrent, "_unrolled", refuse)
        leaf = x.clone().requires_grad_()
        fast = stepped(leaf)
        (gradient,) = torch.autograd.grad(sum(y.sum() for y in fast), leaf)
    for found, expected in zip(torch.func.vmap(stepped)(x[None]), fast, strict=True):
        torch.testing.assert_close(found[0], expected.detach(), rtol=1e-4, atol=1e-5)
    slow = torch.func.grad(lambda v: sum(y.sum() for y in stepped(v)))(x)
    torch.testing.assert_close(gradient, slow, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"activations": ["Sigmoid", "ThresholdedRelu"]}, "without its alpha"),
        ({"activations": ["Affine", "Tanh"]}, "without its alpha"),
        ({"activations": ["Sigmoid", "Sine"]}, "unknown activation"),
        ({"activations": ["Sigmoid"]}, "1 activations"),
        ({"direction": "sideways"}, "direction"),
        ({"direction": "bidirectional"}, "directions"),
    ],
)
def test_what_runtimes_do_not_agree_on_is_refused(save, weights, changes, match):
    known = {"W": weights(1, 6, 3), "R": weights(1, 6, 2)}
    path = save([("GRU", ["x", "W", "R"], ["y"], {"hidden_size": 2, **changes})], known, [4, 1, 3])
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.ParseFromString(path.read_bytes())
    with pytest.raises(UntranslatableError, match=match):
        runner(model, "y")(torch.rand(4, 1, 3))


class Reader(torch.nn.Module):
    """The rows of an image as a sequence, read in both directions by two layers."""

    def __init__(self, kind):
        super().__init__()
        self.layers = kind(8, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(10, 4)

    def forward(self, x):
        y, _ = self.layers(x.squeeze(1))
        return self.head(y[:, -1])


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN])
@pytest.mark.parametrize("axes", [{"x": {0: "n"}}, None])
def test_exported_classifiers(tmp_path, run_file, agree, kind, axes):
    torch.manual_seed(2)
    module, path = Reader(kind).eval(), tmp_path / "m.onnx"
    options = {"dynamo": False, "input_names": ["x"], "output_names": ["y"], "opset_version": 17}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.rand(1, 1, 6, 8),), str(path), dynamic_axes=axes, **options)
    classifier = load_onnx(path)
    x = torch.rand(5, 1, 6, 8)
    assert classifier.info.batch == (None if axes else 1)
    assert classifier.translation.strategy == "direct"
    agree(classifier, x, np.concatenate([run_file(path, x[i : i + 1]) for i in range(5)]))
    leaf, own = x.clone().requires_grad_(), x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.differentiable()(leaf)[:, 1].sum(), leaf)
    (expected,) = torch.autograd.grad(module(own)[:, 1].sum(), own)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
    direction = torch.randn(x.shape, dtype=torch.float64)
    (double,) = torch.autograd.grad(classifier.double()(wide := x.double().requires_grad_())[:, 1].sum(), wide)
    ends = [float(classifier.double()(x + sign * 1e-6 * direction)[:, 1].sum()) for sign in (1, -1)]
    assert float((double * direction).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)
