"""Small ONNX files made on the spot."""

import time

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.translator.translate import translate
from robcheck.harness.errors import ModelError


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def save(tmp_path):
    """save(nodes, weights, dims) -> path of a file with the input x, the output y and float weights by name."""

    def write(nodes, weights, dims, *, opset=17, outputs=("y",), kind=TensorProto.FLOAT, name="m.onnx", **more):
        kinds = more.get("kinds", (TensorProto.FLOAT,) * len(outputs))
        declared = [helper.make_tensor_value_info(out, code, None) for out, code in zip(outputs, kinds, strict=True)]
        extra = more.get("extra_inputs", [])
        graph = helper.make_graph(
            [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
            "g",
            [helper.make_tensor_value_info("x", kind, list(dims)), *extra],
            declared,
            [numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()],
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in more.get("opsets", [("", opset)])]
        model = helper.make_model(graph, opset_imports=opsets, functions=more.get("functions", []))
        model.ir_version = more.get("ir", 8)
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def weights():
    """weights(*shape, scale=...) -> a reproducible float32 array."""
    generator = np.random.default_rng(7)

    def draw(*shape, scale=0.3):
        return (generator.standard_normal(shape) * scale).astype(np.float32)

    return draw


@pytest.fixture
def run_file():
    """run_file(path, x) -> the first output of onnxruntime on a float array."""
    import onnxruntime

    def run(path, x, dtype=np.float32):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: np.asarray(x, dtype=dtype)})[0]

    return run


@pytest.fixture
def cnn(save, weights):
    """cnn(opset=..., tail=...) -> Conv, BatchNormalization, Relu, MaxPool, Flatten, Gemm over (N, 3, 8, 8)."""

    def make(opset=17, batch="N", tail=(), name="m.onnx", **more):
        last = "logits" if tail else "y"
        nodes = [
            ("Conv", ["x", "w", "b"], ["c"], {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}),
            ("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
            ("Relu", ["n"], ["r"]),
            ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Flatten", ["p"], ["f"]),
            ("Gemm", ["f", "g", "h"], [last], {"transB": 1}),
            *tail,
        ]
        values = {
            "w": weights(4, 3, 3, 3),
            "b": weights(4),
            "s": weights(4) + 1,
            "t": weights(4),
            "m": weights(4),
            "v": np.abs(weights(4)) + 0.5,
            "g": weights(5, 64),
            "h": weights(5),
        }
        return save(nodes, values, [batch, 3, 8, 8], opset=opset, name=name, **more)

    return make


@pytest.fixture
def refused():
    """refused(path, match, kind) -> the one sentence with which loading refuses a file, in good time."""

    def check(path, match, kind=ModelError):
        started = time.monotonic()
        with pytest.raises(kind, match=match) as caught:
            load_onnx(path)
        text = str(caught.value)
        assert type(caught.value) is kind
        assert "\n" not in text
        assert "Traceback" not in text
        assert str(path) in text
        assert len(text) < 700
        assert time.monotonic() - started < 20
        return text

    return check


@pytest.fixture
def rewrite():
    """rewrite(path, change) -> the same path with the proto changed in place."""

    def apply(path, change):
        model = onnx.load(str(path), load_external_data=False)
        change(model)
        path.write_bytes(model.SerializeToString())
        return path

    return apply


@pytest.fixture
def agree():
    """agree(classifier, x, expected) asserts that both forwards give the expected numbers."""

    def check(classifier, x, expected, tolerance=1e-5):
        found = classifier.logits(x)
        np.testing.assert_allclose(found.numpy(), expected, atol=tolerance, rtol=0)
        twin = classifier.differentiable()
        assert twin is not None, classifier.info.twin.reason
        np.testing.assert_allclose(twin(x).detach().numpy(), expected, atol=tolerance, rtol=0)

    return check


class OneNode:
    """A file of one operator: its first input is `x`, the others are constants; `want` is the output that counts."""

    def __init__(self, op, inputs, domain, *, outputs=("y",), kinds=None, want=None, opset=17, **attributes):
        names = ["" if value is None else "x" if place == 0 else f"i{place}" for place, value in enumerate(inputs)]
        self.x = inputs[0]
        self.want = want or outputs[0]
        kinds = kinds or (TensorProto.FLOAT,) * len(outputs)
        pairs = zip(outputs, kinds, strict=True)
        kind = helper.np_dtype_to_tensor_dtype(self.x.dtype)
        constants = zip(names[1:], inputs[1:], strict=True)
        graph = helper.make_graph(
            [helper.make_node(op, names, outputs, domain=domain, **attributes)],
            "g",
            [helper.make_tensor_value_info("x", kind, [None] * self.x.ndim)],
            [helper.make_tensor_value_info(name, code, None) for name, code in pairs if name],
            [numpy_helper.from_array(value, name) for name, value in constants if name],
        )
        versions = {"": opset, "com.microsoft": 1, "ai.onnx.ml": 3}
        opsets = [helper.make_opsetid(home, version) for home, version in versions.items()]
        self.model = helper.make_model(graph, opset_imports=opsets)
        self.model.ir_version = 8

    def judged(self):
        """What onnxruntime answers, with no optimisation of its own."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        data = self.model.SerializeToString()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return session.run([self.want], {"x": self.x})[0]

    def twin(self, precision=torch.float32):
        """The translated graph."""
        found = translate(self.model, None, "x", self.want, precision)
        assert found.module is not None, found.reason
        return found.module

    def check(self, *, batched=True, smooth=True, tolerance=2e-5):
        """The twin equals onnxruntime, each sample alone equals the batch, gradients equal finite differences."""
        expected, x, run = self.judged(), torch.from_numpy(self.x), self.twin()
        found = run(x)
        assert found.shape == expected.shape
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found.numpy(), expected, atol=tolerance * scale, rtol=0)
        if batched:
            alone = torch.func.vmap(lambda one: run(one.unsqueeze(0))[0])(x)
            np.testing.assert_allclose(alone.numpy(), found.numpy(), atol=1e-5 * scale, rtol=0)
        if smooth:
            self._check_gradient()

    def _check_gradient(self, step=1e-6):
        run = self.twin(torch.float64)
        generator = torch.Generator().manual_seed(3)
        x = torch.from_numpy(self.x).double().requires_grad_()
        y = run(x)
        assert y.dtype == torch.float64
        weight = torch.randn(y.shape, dtype=torch.float64, generator=generator)
        direction = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        (gradient,) = torch.autograd.grad(y, x, weight)
        with torch.no_grad():
            ends = [run(x + sign * step * direction) for sign in (1, -1)]
        slope = float(((ends[0] - ends[1]) * weight).sum()) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@pytest.fixture
def one_node():
    """one_node(op, inputs, domain, ...) -> OneNode with `check` and `twin`."""
    return OneNode
