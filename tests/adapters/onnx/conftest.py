"""Small ONNX files made on the spot."""

import time

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx import load_onnx
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
