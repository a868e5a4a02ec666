"""ONNX's own node tests through the translation, against the expected outputs and against onnxruntime."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from robcheck.adapters.onnx.translator.operators import OPERATORS, lookup
from robcheck.adapters.onnx.translator.translate import translate

LISTED = Path(__file__).with_name("classifier_cases.txt")
"""The cases whose operators can occur in a classifier; the rule stands at the head of the file."""

KNOWN_DIFFERENCES = {
    "test_resize_downsample_scales_linear_align_corners": "onnxruntime floors the length first, and so does the twin",
    "test_resize_downsample_scales_cubic_align_corners": "onnxruntime floors the length first, and so does the twin",
}
"""Cases that give other numbers than expected, each with its reason; the twin must equal onnxruntime there."""

EXACT = (1e-3, 1e-5)
"""Relative and absolute tolerance of float32 and float64; integers and truth values must be equal."""
NARROW = (2e-2, 2e-2)
"""The same for float16 and bfloat16, which the twin computes in float32."""


@cache
def collected():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return collect_testcases(None)


@cache
def cases():
    return {case.name: case for case in collected()}


def listed():
    return [line for line in LISTED.read_text().splitlines() if not line.startswith("#")]


def numbers(value):
    array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    carrier = {"int4": np.int8, "int2": np.int8, "uint4": np.uint8, "uint2": np.uint8}.get(array.dtype.name)
    return array if carrier is None else array.astype(carrier)


def tensor(value):
    array = numbers(value)
    return torch.from_numpy((array.astype(np.float32) if narrow(array) else array).copy())


def narrow(array):
    return array.dtype.name in ("float16", "bfloat16")


def difference(found, wanted):
    tolerance = NARROW if narrow(wanted) else EXACT
    wanted = wanted.astype(np.float32) if narrow(wanted) else wanted
    if found.shape != wanted.shape:
        return f"shape {found.shape} for {wanted.shape}"
    if found.dtype != wanted.dtype:
        return f"type {found.dtype} for {wanted.dtype}"
    if wanted.dtype.kind != "f":
        return "" if np.array_equal(found, wanted) else "other integers"
    if np.allclose(found, wanted, rtol=tolerance[0], atol=tolerance[1], equal_nan=True):
        return ""
    return f"differs by {np.nanmax(np.abs(found - wanted))}"


def first_difference(found, wanted, *, random):
    """Of random operators only shapes and types are compared: two draws are never the same."""
    for one, other in zip(found, map(numbers, wanted), strict=True):
        problem = difference(one, other)
        if problem and not (random and one.shape == other.shape and one.dtype == tensor(other).numpy().dtype):
            return problem
    return ""


@cache
def answer(name):
    """("missing" | "refused", reason, False) or ("answered", outputs, whether they are random)."""
    case = cases()[name]
    model = case.model
    if any(not value.type.HasField("tensor_type") for value in [*model.graph.input, *model.graph.output]):
        return "missing", "sequences or optionals", False
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    found = translate(model, None, inputs, outputs)
    if found.module is None:
        return ("missing" if found.missing else "refused"), found.reason, False
    try:
        with torch.no_grad():
            made = found.module.run([tensor(array) for array in case.data_sets[0][0]], bpda=False)
        return "answered", [value.numpy() for value in made], found.module.random
    except Exception as error:
        return "refused", f"{type(error).__name__}: {str(error)[:100]}", False


def run(case):
    """("missing" | "refused" | "passed" | "wrong", detail), against the expected outputs."""
    kind, made, random = answer(case.name)
    if kind != "answered":
        return kind, made
    problem = first_difference(made, case.data_sets[0][1], random=random)
    return ("wrong", problem) if problem else ("passed", "")


@cache
def deployed(name):
    """What onnxruntime answers, None where it does not run the case."""
    case = cases()[name]
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [value.name for value in session.get_inputs()]
        given = [numbers(value) for value in case.data_sets[0][0]]
        return session.run(None, dict(zip(names, given, strict=True)))
    except Exception:
        return None


def outcomes(names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: run(cases()[name]) for name in names}


def wrong(found):
    """Details by name of what differs from the expected outputs without a known reason."""
    return {name: detail for name, (kind, detail) in found.items() if kind == "wrong" and name not in KNOWN_DIFFERENCES}


def test_no_case_is_silently_wrong():
    found = outcomes(cases())
    assert wrong(found) == {}
    assert all(found[name][0] == "wrong" for name in KNOWN_DIFFERENCES), "remove what no longer differs"
    assert sum(kind == "passed" for kind, _ in found.values()) >= 1500


def test_the_list_is_sorted_and_every_case_in_it_exists():
    names = listed()
    assert names == sorted(set(names))
    assert set(names) <= set(cases())
    assert len(names) == 891


def test_what_can_occur_in_a_classifier_passes():
    found = outcomes(listed())
    passed = [name for name, (kind, _) in found.items() if kind == "passed"]
    assert wrong(found) == {}
    assert len(passed) >= 887


def test_what_can_occur_in_a_classifier_equals_onnxruntime():
    different, compared = {}, 0
    for name in listed():
        kind, made, random = answer(name)
        reference = deployed(name)
        if kind != "answered" or reference is None:
            continue
        compared += 1
        problem = first_difference(made, reference, random=random)
        if problem:
            different[name] = problem
    assert different == {}
    assert compared >= 860


def test_every_operator_has_a_row_once():
    assert all(since >= 1 for _, _, since in OPERATORS)
    assert lookup("", "Softmax", 12) is not lookup("", "Softmax", 13)
    assert lookup("", "Clip", 5) is None
    assert lookup("com.example", "Relu", 13) is None


@pytest.mark.parametrize(("op", "opset"), [("Conv", 7), ("Gemm", 24), ("Relu", 13), ("MaxPool", 12)])
def test_lookup_takes_the_newest_meaning(op, opset):
    assert lookup("", op, opset) is not None
