"""Whole networks as onnxruntime's quantiser and optimiser write them."""

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from robcheck.adapters.onnx.translator.translate import translate

quantization = pytest.importorskip("onnxruntime.quantization")
KIND = quantization.QuantType
FORMAT = quantization.QuantFormat
SHAPE = (3, 8, 8)


class Samples(quantization.CalibrationDataReader):
    """Twenty batches of noise."""

    def __init__(self):
        draw = np.random.default_rng(1)
        self.left = [{"x": draw.random((8, *SHAPE), dtype=np.float32)} for _ in range(20)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantised(path, way):
    """The file quantised in one way, beside the original."""
    target = str(path.with_name("quantised.onnx"))
    if way == "dynamic":
        quantization.quantize_dynamic(str(path), target, weight_type=KIND.QUInt8)
    else:
        style, activations, weights, per_channel = {
            "qdq-s8s8": (FORMAT.QDQ, KIND.QInt8, KIND.QInt8, False),
            "qdq-u8s8-channels": (FORMAT.QDQ, KIND.QUInt8, KIND.QInt8, True),
            "operators-u8s8": (FORMAT.QOperator, KIND.QUInt8, KIND.QInt8, False),
            "operators-s8s8-channels": (FORMAT.QOperator, KIND.QInt8, KIND.QInt8, True),
        }[way]
        quantization.quantize_static(
            str(path),
            target,
            Samples(),
            quant_format=style,
            activation_type=activations,
            weight_type=weights,
            per_channel=per_channel,
        )
    return target


def session(path, level, saved=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    if saved:
        options.optimized_model_filepath = saved
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def answers(path, x, level="ENABLE_ALL"):
    return session(path, level).run(None, {"x": x})[0]


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def x():
    return np.random.default_rng(5).random((40, *SHAPE), dtype=np.float32)


WAYS = ["qdq-s8s8", "qdq-u8s8-channels", "operators-u8s8", "operators-s8s8-channels", "dynamic"]


@pytest.mark.parametrize("way", WAYS)
def test_the_twin_equals_onnxruntime_up_to_a_step_of_the_output(cnn, x, way):
    path = quantised(cnn(), way)
    module = translate(onnx.load(path), None, "x", "y").module
    found = module(torch.from_numpy(x)).detach().numpy()
    whole = answers(path, x, "DISABLE_ALL")
    step = (whole.max() - whole.min()) / 100
    assert np.abs(found - whole).max() <= (step if way.startswith("qdq") else 1e-6)
    # onnxruntime's own two answers differ by as much: it multiplies whole numbers once it has fused them
    fused = answers(path, x)
    assert np.abs(found - fused).max() <= (2 * step if way.startswith("qdq") else 1e-6)
    assert (found.argmax(1) == fused.argmax(1)).mean() > 0.9
    assert len(np.unique(whole)) > 20


@pytest.mark.parametrize("way", ["qdq-s8s8", "operators-u8s8"])
def test_the_twin_of_the_optimised_file_is_exact(cnn, x, tmp_path, way):
    path, saved = quantised(cnn(), way), str(tmp_path / "optimised.onnx")
    session(path, "ENABLE_EXTENDED", saved)
    model = onnx.load(saved)
    assert any(node.op_type.startswith("QLinear") for node in model.graph.node)
    module = translate(model, None, "x", "y").module
    assert np.array_equal(module(torch.from_numpy(x)).detach().numpy(), answers(path, x))


@pytest.mark.parametrize("way", ["qdq-s8s8", "operators-u8s8", "dynamic"])
def test_surrogates_keep_the_answer_and_climb(cnn, x, way):
    path = quantised(cnn(), way)
    module = translate(onnx.load(path), None, "x", "y").module
    start = torch.from_numpy(x).requires_grad_()
    logits = module(start, bpda=True)
    assert torch.equal(logits.detach(), module(start).detach())
    labels = logits.argmax(1)
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels), start)
    assert (gradient != 0).float().mean() > 0.5

    def loss(step):
        moved = torch.from_numpy(answers(path, (x + 0.05 * step).astype(np.float32)))
        return float(torch.nn.functional.cross_entropy(moved, labels))

    noise = np.sign(np.random.default_rng(2).standard_normal(x.shape))
    assert loss(np.sign(gradient.numpy())) > loss(noise) + 0.1


@pytest.mark.parametrize("way", ["operators-u8s8", "dynamic"])
def test_samples_one_by_one_under_vmap(cnn, x, way):
    path = quantised(cnn(), way)
    module = translate(onnx.load(path), None, "x", "y").module
    batch = torch.from_numpy(x[:5])
    single = torch.cat([module(one[None]) for one in batch])
    assert torch.equal(torch.func.vmap(lambda one: module(one[None])[0])(batch), single)
