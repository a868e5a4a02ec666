"""Every case of ONNX's own node tests that the twin's operators cover, against the expected outputs."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from robcheck.adapters.onnx.graph import read_graph
from robcheck.adapters.onnx.interpreter import evaluate
from robcheck.adapters.onnx.node import UntranslatableError
from robcheck.adapters.onnx.operators import OPERATORS, lookup

KNOWN_DIFFERENCES = {
    "test_resize_downsample_scales_linear_align_corners": "onnxruntime floors the length first, and so does the twin",
    "test_resize_downsample_scales_cubic_align_corners": "onnxruntime floors the length first, and so does the twin",
}
"""Cases that give other numbers than expected, each with its reason; the twin must equal onnxruntime there."""


@cache
def collected():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return collect_testcases(None)


def run(case):
    """("missing" | "refused" | "passed" | "wrong", detail)."""
    model = case.model
    if model.functions or any(not v.type.HasField("tensor_type") for v in [*model.graph.input, *model.graph.output]):
        return "missing", "functions, sequences or optionals"
    try:
        graph = read_graph(model, None, "", torch.float32)
    except UntranslatableError as error:
        return "refused", str(error)
    operators = [lookup(node.domain, node.op, node.opset) for node in graph.nodes]
    if None in operators:
        return "missing", ""
    inputs, expected = case.data_sets[0]
    values = dict(graph.constants)
    try:
        for declared, array in zip(model.graph.input, inputs, strict=False):
            values[declared.name] = tensor(array, declared.type.tensor_type.elem_type)
        for node, operator in zip(graph.nodes, operators, strict=True):
            made = evaluate(node, operator, [values[name] if name else None for name in node.inputs])
            if len(made) < len([name for name in node.outputs if name]):
                return "refused", "an optional output"
            values.update({name: value for name, value in zip(node.outputs, made, strict=False) if name})
    except Exception as error:
        return "refused", f"{type(error).__name__}: {str(error)[:100]}"
    for declared, wanted in zip(model.graph.output, expected, strict=True):
        problem = difference(values[declared.name], numbers(wanted), declared.type.tensor_type.elem_type)
        if problem:
            return "wrong", problem
    return "passed", ""


def numbers(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def tensor(array, code):
    array = numbers(array)
    if code in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
        array = array.astype(np.float32)
    return torch.from_numpy(array.copy())


def difference(found, wanted, code):
    loose = code in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    if loose:
        wanted = wanted.astype(np.float32)
    if tuple(found.shape) != wanted.shape:
        return f"shape {tuple(found.shape)} for {wanted.shape}"
    if found.numpy().dtype != wanted.dtype:
        return f"type {found.dtype} for {wanted.dtype}"
    if wanted.dtype.kind == "f":
        tolerance = 2e-2 if loose else 1e-4
        if not np.allclose(found.numpy(), wanted, rtol=tolerance, atol=tolerance, equal_nan=True):
            return f"differs by {np.nanmax(np.abs(found.numpy() - wanted))}"
        return ""
    return "" if np.array_equal(found.numpy(), wanted) else "other integers"


def test_no_case_is_silently_wrong():
    wrong, passed = {}, 0
    for case in collected():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome, detail = run(case)
        passed += outcome == "passed"
        if outcome == "wrong":
            wrong[case.name] = detail
    assert {name: text for name, text in wrong.items() if name not in KNOWN_DIFFERENCES} == {}
    assert set(KNOWN_DIFFERENCES) <= set(wrong), "remove what no longer differs"
    assert passed >= 1000


def test_where_the_twin_differs_from_the_cases_it_equals_onnxruntime():
    for case in collected():
        if case.name not in KNOWN_DIFFERENCES:
            continue
        session = onnxruntime.InferenceSession(case.model.SerializeToString())
        inputs = case.data_sets[0][0]
        answer = session.run(None, dict(zip([value.name for value in session.get_inputs()], inputs, strict=True)))
        assert run(replace(case, data_sets=[(inputs, answer)])) == ("passed", "")


def test_every_operator_has_a_row_once():
    assert all(since >= 1 for _, _, since in OPERATORS)
    assert lookup("", "Softmax", 12) is not lookup("", "Softmax", 13)
    assert lookup("", "Clip", 5) is None
    assert lookup("com.example", "Relu", 13) is None


@pytest.mark.parametrize(("op", "opset"), [("Conv", 7), ("Gemm", 24), ("Relu", 13), ("MaxPool", 12)])
def test_lookup_takes_the_newest_meaning(op, opset):
    assert lookup("", op, opset) is not None
