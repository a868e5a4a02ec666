"""Digit classifiers in the forms in which they arrive: the twin agrees and the gradient gets through."""

import importlib
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

import robcheck

pytestmark = pytest.mark.slow

SAMPLES = 100
SLACK = 0.02
"""For the smaller sample; the limits are for 200."""
FLOAT = 2e-6
SIXTEEN = 2e-3
EIGHT = 2e-2
PLAIN = ["legacy-11", "legacy-17", "softmax", "argmax", "top-1", "uint8-input", "nhwc-input", "fixed-batch"]
FORMS = {
    **dict.fromkeys([*PLAIN, "dynamo-18", "dynamo-23", "ort-extended", "lstm", "attention-dynamo", "int4-mlp"], FLOAT),
    **dict.fromkeys(["half", "half-attention"], SIXTEEN),
    "ort-extended-attention": FLOAT,
}
MASKED = {
    **dict.fromkeys(["qdq-s8s8", "qdq-u8s8", "qoperator-u8s8", "ort-extended-qdq"], EIGHT),
    **dict.fromkeys(["dynamic-u8", "dynamic-attention", "qdq-attention", "qoperator-attention"], EIGHT),
    **dict.fromkeys(["rounded", "thermometer"], FLOAT),
}
"""A plain gradient is zero or missing here, and only the straight-through one finds the way."""


@pytest.fixture(scope="module")
def proof():
    """The benchmark as a module."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of exporters and quantisers while they are imported
            return importlib.import_module("onnx_variants")
    finally:
        del sys.path[0]


@pytest.fixture(scope="module")
def digits(proof):
    return [values[:SAMPLES] for values in proof.samples("test")]


@pytest.mark.parametrize("name", [*FORMS, *MASKED])
def test_twin_agrees_and_gradient_gets_through(name, proof, digits, tmp_path):
    if name.startswith(("dynamo", "attention-dynamo")):
        pytest.importorskip("onnxscript")
    row = proof.measure(proof.make(name, tmp_path), *digits, None, 0)
    assert row.clean > 0.9
    assert row.parity is not None, row.findings
    assert row.parity <= (FORMS | MASKED)[name]
    assert row.agreement == 1.0
    assert row.bpda <= proof.limit(name) + SLACK
    assert (row.exact > 0.9) == (name in MASKED)


@pytest.mark.parametrize("name", ["noisy", "dropout"])
def test_random_graph_falls_to_pgd(name, proof, digits, tmp_path):
    row = proof.measure(proof.make(name, tmp_path), *digits, None, 0)
    assert row.bpda <= proof.limit(name) + SLACK


def test_dynamic_quantisation_leaks_no_gradient_through_its_scale(proof, digits, tmp_path):
    model = robcheck.load_model(proof.make("dynamic-u8", tmp_path))
    assert proof.pgd(model, *digits, "exact") is None


@pytest.mark.parametrize("name", ["rounded", "qdq-s8s8", "dynamic-u8", "noisy"])
def test_adaptive_suite_breaks_what_hides_its_gradient(name, proof, digits, tmp_path):
    x, y = (values[:50] for values in digits)
    model = robcheck.load_model(proof.make(name, tmp_path))
    result = robcheck.evaluate(model, x, y, suite="adaptive", epsilon=proof.EPS)
    assert result.clean_accuracy > 0.9
    assert result.robust_accuracy <= 0.02


def still_right(network, x: Tensor, y: int, eps: float) -> bool:
    """Whether a network on x > 0.5 answers y for every pattern of zeros and ones that the ball around x reaches."""
    free = ((x - eps <= 0.5) & (x + eps > 0.5)).flatten().nonzero().squeeze(1)
    choices = torch.arange(2 ** len(free))[:, None] >> torch.arange(len(free)) & 1
    patterns = (x > 0.5).float().flatten().repeat(len(choices), 1)
    patterns[:, free] = choices.float()
    with torch.no_grad():
        return bool((network(patterns.reshape(-1, *x.shape)).argmax(1) == y).all())


def test_binarised_input_falls_as_far_as_enumeration_says(proof, digits, tmp_path):
    x, y = (values[:60] for values in digits)
    network = importlib.import_module("digit_models").trained("binarised")[1]
    truth = [still_right(network, image, int(label), proof.EPS) for image, label in zip(x, y, strict=True)]
    model = robcheck.load_model(proof.make("binarised-trained", tmp_path))
    result = robcheck.evaluate(model, x, y, suite="adaptive", epsilon=proof.EPS)
    assert 0.2 < sum(truth) / len(truth) < 0.8
    assert sum(truth) / len(truth) <= result.robust_accuracy <= sum(truth) / len(truth) + 0.04
