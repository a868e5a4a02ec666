"""Fused operators of com.microsoft against onnxruntime, over their attributes."""

from itertools import product

import numpy as np
import pytest
import torch

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.translator.node import UntranslatableError

MICROSOFT = "com.microsoft"
CONV_ACTIVATIONS = {
    None: None,
    "Relu": None,
    "Tanh": None,
    "Sigmoid": None,
    "HardSwish": None,
    "LeakyRelu": [0.2],
    "Clip": [-0.5, 0.7],
    "HardSigmoid": [0.2, 0.4],
}
GEMM_ACTIVATIONS = {
    "Relu": {},
    "Tanh": {},
    "Sigmoid": {},
    "Softplus": {},
    "Softsign": {},
    "Elu": {"activation_alpha": 0.7},
    "Celu": {"activation_alpha": 0.7},
    "LeakyRelu": {"activation_alpha": 0.2},
    "ThresholdedRelu": {"activation_alpha": 0.3},
    "HardSigmoid": {"activation_alpha": 0.3, "activation_beta": 0.4},
    "Selu": {"activation_alpha": 1.2, "activation_gamma": 0.8},
}


@pytest.fixture
def node(one_node):
    return lambda op, *inputs, **more: one_node(op, inputs, more.pop("domain", MICROSOFT), **more)


@pytest.fixture
def draw(weights):
    return lambda *shape: weights(*shape, scale=1.0)


def whole(*rows, dtype=np.int32):
    return np.array(rows, dtype=dtype)


@pytest.mark.parametrize("name", CONV_ACTIVATIONS)
def test_fused_conv_activates_the_sum(node, draw, name):
    more = {} if name is None else {"activation": name}
    if CONV_ACTIVATIONS[name]:
        more["activation_params"] = CONV_ACTIVATIONS[name]
    x = draw(2, 2, 6, 5)
    node("FusedConv", x, draw(4, 2, 3, 3), draw(4), **more).check()
    node("FusedConv", x, draw(4, 2, 3, 3), None, draw(2, 4, 6, 5), pads=[1, 1, 1, 1], **more).check(batched=False)
    shape = {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2], "group": 2}
    node("FusedConv", x, draw(4, 1, 3, 2), **shape, **more).check()


@pytest.mark.parametrize("name", GEMM_ACTIVATIONS)
def test_fused_gemm(node, draw, name):
    more = {"activation": name} | GEMM_ACTIVATIONS[name]
    node("FusedGemm", draw(3, 4), draw(4, 5), draw(5), **more).check()
    node("FusedGemm", draw(3, 4), draw(5, 4), transB=1, alpha=0.5, **more).check()
    factors = {"transA": 1, "transB": 1, "alpha": 0.3, "beta": 2.0}
    node("FusedGemm", draw(4, 3), draw(5, 4), draw(3, 1), **factors, **more).check(batched=False)


@pytest.mark.parametrize(("op", "more"), [("FusedConv", {"activation": "Mish"}), ("FusedGemm", {"activation": "Elu"})])
def test_unknown_activations_are_refused(node, draw, op, more):
    inputs = (draw(1, 2, 5, 5), draw(3, 2, 3, 3)) if op == "FusedConv" else (draw(3, 4), draw(4, 5))
    made = node(op, *inputs, **more)
    with pytest.raises(UntranslatableError, match="activation"):
        made.twin()(torch.from_numpy(made.x))


@pytest.mark.parametrize("flags", list(product((0, 1), repeat=4)))
def test_fused_matmul_in_every_order(node, draw, flags):
    turn_a, turn_b, late_a, late_b = flags
    left = {(0, 0): (2, 6, 3, 4), (1, 0): (2, 6, 4, 3), (0, 1): (3, 2, 6, 4), (1, 1): (4, 2, 6, 3)}[turn_a, late_a]
    right = {(0, 0): (2, 6, 4, 5), (1, 0): (2, 6, 5, 4), (0, 1): (4, 2, 6, 5), (1, 1): (5, 2, 6, 4)}[turn_b, late_b]
    more = {"transA": turn_a, "transB": turn_b, "transBatchA": late_a, "transBatchB": late_b, "alpha": 0.7}
    node("FusedMatMul", draw(*left), draw(*right), **more).check(batched=False)


def test_products_of_vectors_and_broadcast_batches(node, draw):
    node("FusedMatMul", draw(3, 4), draw(4, 5), alpha=2.0).check()
    node("FusedMatMul", draw(2, 3, 4), draw(5, 4), transB=1).check()
    node("FusedMatMul", draw(4), draw(4, 5), transA=1).check(batched=False)
    node("FusedMatMul", draw(3, 4), draw(4), transB=1).check(batched=False)
    node("TransposeMatMul", draw(2, 3, 4), draw(2, 5, 4), transB=1, alpha=0.3).check(batched=False)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
def test_cdist(node, draw, metric):
    x, y = draw(3, 4), draw(5, 4)
    node("CDist", x, y, metric=metric).check()
    made = node("CDist", x, np.concatenate([y, x[:1]]), metric=metric)
    start = torch.from_numpy(x).requires_grad_()
    (gradient,) = torch.autograd.grad(made.twin()(start).sum(), start)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("op", "bias", "more"),
    [
        ("Gelu", None, {}),
        ("BiasGelu", 4, {}),
        ("FastGelu", None, {}),
        ("FastGelu", 4, {}),
        ("QuickGelu", None, {}),
        ("QuickGelu", None, {"alpha": -0.5}),
    ],
)
def test_gelus(node, draw, op, bias, more):
    inputs = (3 * draw(2, 3, 4), *(() if bias is None else (draw(bias),)))
    node(op, *inputs, **more).check()


@pytest.mark.parametrize("skip", [(2, 3, 4), (1, 3, 4), (3, 4)])
def test_skip_normalisations(node, draw, skip):
    batched = skip != (2, 3, 4)
    x, other, scale, shift, bias = draw(2, 3, 4), draw(*skip), draw(4), draw(4), draw(4)
    node("SkipLayerNormalization", x, other, scale, shift, bias).check(batched=batched)
    node("SkipLayerNormalization", x, other, scale, None, bias, epsilon=0.1).check(batched=batched)
    node("SkipLayerNormalization", x, other, scale).check(batched=batched)
    node("SkipSimplifiedLayerNormalization", x, other, scale, bias).check(batched=batched)
    node("SkipSimplifiedLayerNormalization", x, other, scale, epsilon=0.1).check(batched=batched)
    total = {"outputs": ("y", "", "", "s"), "want": "s"}
    node("SkipLayerNormalization", x, other, scale, shift, bias, **total).check(batched=batched)
    node("SkipSimplifiedLayerNormalization", x, other, scale, bias, **total).check(batched=batched)


def test_mean_of_a_skip_normalisation_is_refused(node, draw):
    made = node("SkipLayerNormalization", draw(2, 3, 4), draw(3, 4), draw(4), outputs=("y", "m"), want="m")
    with pytest.raises(UntranslatableError, match="mean"):
        made.twin()(torch.from_numpy(made.x))


def test_layer_normalisations_below_opset_17(node, draw):
    old = {"domain": "", "opset": 11}
    node("LayerNormalization", draw(2, 3, 4), draw(4), draw(4), **old).check()
    node("LayerNormalization", draw(2, 3, 4), draw(3, 4), draw(3, 4), axis=1, epsilon=0.1, **old).check()
    node("SimplifiedLayerNormalization", draw(2, 3, 4), draw(4), **old).check()
    two = {"outputs": ("y", "i"), "want": "i", "axis": -2, "epsilon": 0.1}
    node("SimplifiedLayerNormalization", draw(2, 3, 4), draw(3, 4), **two, **old).check()


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize(
    "mask",
    [
        None,
        whole([1, 0, 1, 1, 0], [1, 1, 1, 0, 0]),
        whole([0, 0, 0, 0, 0], [2, -1, 1, 0, 1]),
        whole(3, 5),
        whole(0, 4, 1, 2),
        whole([1], [0]),
        (np.arange(50).reshape(2, 5, 5) % 3 > 0).astype(np.int32),
    ],
)
def test_attention_with_masks(node, draw, mask, causal):
    inputs = (draw(2, 5, 8), draw(8, 24), draw(24), *(() if mask is None else (mask,)))
    more = {"unidirectional": causal, "num_heads": 2}
    node("Attention", *inputs, **more).check(batched=mask is None)
    node("Attention", *inputs, mask_filter_value=-3.0, scale=0.3, **more).check(batched=mask is None)


@pytest.mark.parametrize("shape", [(2, 2, 5, 5), (1, 2, 5, 5), (2, 1, 5, 5), (1, 1, 5, 5)])
def test_attention_with_a_bias_on_its_scores(node, draw, shape):
    x, weight, bias, extra = draw(2, 5, 8), draw(8, 24), draw(24), draw(*shape)
    mask = whole([1, 0, 1, 1, 0], [1, 1, 1, 0, 0])
    node("Attention", x, weight, bias, None, None, extra, num_heads=2).check(batched=shape[0] == 1)
    node("Attention", x, weight, bias, mask, None, extra, num_heads=2, unidirectional=1).check(batched=False)


def test_attention_with_values_of_another_width(node, draw):
    inputs = (draw(2, 5, 8), draw(8, 20), draw(20))
    node("Attention", *inputs, num_heads=2, qkv_hidden_sizes=[8, 8, 4]).check()
    node("Attention", *inputs, num_heads=2, qkv_hidden_sizes=[4, 4, 12]).check()


@pytest.mark.parametrize(
    ("inputs", "more", "match"),
    [
        ((None, (2, 2, 2, 3, 4)), {}, "cache"),
        ((), {"do_rotary": 1}, "rotary"),
        (((2, 1, 6, 6),), {}, "mask"),
    ],
)
def test_attention_that_is_refused(node, draw, inputs, more, match):
    rest = [None if shape is None else draw(*shape) for shape in inputs]
    made = node("Attention", draw(2, 5, 8), draw(8, 24), draw(24), *rest, num_heads=2, **more)
    with pytest.raises(UntranslatableError, match=match):
        made.twin()(torch.from_numpy(made.x))


@pytest.mark.parametrize("keys", [5, 3])
@pytest.mark.parametrize("causal", [0, 1])
def test_multi_head_attention(node, draw, keys, causal):
    q, k, v = draw(2, 5, 8), draw(2, keys, 8), draw(2, keys, 12)
    more = {"unidirectional": causal, "num_heads": 2}
    masks = [whole(3, keys), (np.arange(2 * keys).reshape(2, keys) % 3 > 0).astype(np.int32)]
    masks.append((np.arange(10 * keys).reshape(2, 5, keys) % 3 > 0).astype(np.int32))
    node("MultiHeadAttention", q, k, v, **more).check(batched=False)
    node("MultiHeadAttention", q, k, v, draw(28), scale=0.2, **more).check(batched=False)
    for mask in masks:
        node("MultiHeadAttention", q, k, v, None, mask, mask_filter_value=-2.0, **more).check(batched=False)
    for shape in product((1, 2), (1, 2)):
        extra = draw(*shape, 5, keys)
        node("MultiHeadAttention", q, k, v, None, None, extra, **more).check(batched=False)
    ahead = (draw(1, 2, keys, 4), draw(1, 2, keys, 4))
    node("MultiHeadAttention", q[:1], *ahead, **more).check()


def test_multi_head_attention_that_is_refused(node, draw):
    q, past = draw(2, 5, 8), draw(2, 2, 3, 4)
    cases = [(draw(2, 5, 2, 3, 4),), (q,), (q, q, q, None, None, None, past, past)]
    cases.append((q, draw(2, 2, 5, 4), draw(2, 2, 5, 4), draw(24)))
    for inputs in cases:
        made = node("MultiHeadAttention", *inputs, num_heads=2)
        with pytest.raises(UntranslatableError):
            made.twin()(torch.from_numpy(made.x))
    made = node("MultiHeadAttention", q, draw(2, 7, 8), draw(2, 7, 8), num_heads=2, unidirectional=1)
    with pytest.raises(UntranslatableError, match="looks back"):
        made.twin()(torch.from_numpy(made.x))


@pytest.mark.parametrize("pairs", [0, 1])
def test_rotary_embedding(node, draw, pairs):
    cos, sin, start = draw(9, 2), draw(9, 2), whole(2, dtype=np.int64)
    each = whole([0, 1, 2, 3, 4], [4, 3, 2, 1, 7], dtype=np.int64)
    for x in (draw(2, 5, 8), draw(2, 3, 5, 4)):
        node("RotaryEmbedding", x, start, cos, sin, interleaved=pairs).check()
        node("RotaryEmbedding", x, each, cos, sin, interleaved=pairs).check(batched=False)
    partial = {"interleaved": pairs, "num_heads": 2, "rotary_embedding_dim": 4}
    node("RotaryEmbedding", draw(2, 5, 16), start, cos, sin, **partial).check()
    node("RotaryEmbedding", draw(2, 2, 5, 8), start, cos, sin, **partial).check()


def test_tensors_of_com_microsoft(node, draw):
    node("Inverse", np.eye(3, dtype=np.float32) + 0.2 * draw(2, 3, 3)).check()
    for axis in (-2, -1, 1, 2):
        node("ExpandDims", draw(2, 3), np.array(axis, np.int32)).check()
    for mode in ("constant", "edge", "reflect"):
        node("Pad", draw(2, 4), whole(0, 1, 0, 2, dtype=np.int64), mode=mode).check()
    node("Pad", draw(2, 4), whole(0, 1, 0, 2, dtype=np.int64), np.float32([3.0])).check()
    for upper, shift in product((0, 1), (-1, 0, 1)):
        node("Trilu", draw(2, 3, 4), np.array(shift, np.int64), upper=upper).check()
    for pads in ((0, 0, 1, 1), (1, 0, 0, 1)):
        inputs = (draw(2, 3, 4, 4), draw(3, 4, 3, 3), whole(*pads, dtype=np.int64), draw(4))
        node("ConvTransposeWithDynamicPads", *inputs, strides=[2, 1]).check()


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("border", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [0, 1])
def test_grid_sample(node, draw, mode, border, align):
    more = {"mode": mode, "padding_mode": border, "align_corners": align}
    node("GridSample", draw(2, 3, 5, 4), draw(2, 3, 3, 2), **more).check(batched=False, tolerance=1e-4)


def optimised(path, level):
    import onnxruntime

    target = path.with_name(f"{level}.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return target


def test_a_file_that_onnxruntime_optimised(cnn):
    classifier = load_onnx(optimised(cnn(), "EXTENDED"))
    assert "com.microsoft::FusedConv" in classifier.info.operators
    assert classifier.differentiable() is not None, classifier.info.twin.reason


def test_a_file_laid_out_for_one_processor_says_so(cnn):
    classifier = load_onnx(optimised(cnn(), "ALL"))
    if not any(name.startswith("com.microsoft.nchwc::") for name in classifier.info.operators):
        pytest.skip("onnxruntime has no such layout on this processor")
    assert classifier.differentiable() is None
    assert "com.microsoft.nchwc::Conv" in classifier.info.missing_operators
    assert "give the file from before that" in classifier.info.twin.reason
