"""Each operator under vmap, and its gradient against finite differences, on ONNX's own node tests."""

import warnings
from functools import cache

import numpy as np
import pytest
import torch

from robcheck.adapters.onnx.translator.graph import read_graph
from robcheck.adapters.onnx.translator.operators import OPERATORS, lookup
from robcheck.adapters.onnx.translator.operators.obstacle import Obstacle, draws

FLAT = {"IsInf", "IsNaN", "Shape", "Size"}
"""Operators without a gradient that no evaluation needs to hear about: they answer shapes and flags."""
DATA_SHAPED = {"NonZero", "Unique"}
"""Operators whose answer has another shape for other data: no batch of them exists, samples run one by one."""


@cache
def floating_cases():
    """(node, operator, first input, other inputs) in float64 for single-node cases on floats."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = collect_testcases(None)
    result = []
    for case in collected:
        found = decoded(case)
        if found is not None:
            result.append((case.name, *found))
    return result


def decoded(case):
    model = case.model
    arrays = case.data_sets[0][0]
    wide = any(not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" for array in arrays)
    if wide or model.functions or len(model.graph.node) != 1 or not arrays or arrays[0].dtype.kind != "f":
        return None
    node = read_graph(model, None, torch.float64).nodes[0]
    operator = lookup(node.domain, node.op, node.opset)
    if operator is None or node.inputs[:1] != (model.graph.input[0].name,) or not arrays[0].size:
        return None
    values = {}
    for declared, array in zip(model.graph.input, arrays, strict=False):
        values[declared.name] = torch.from_numpy(array.astype(np.float64 if array.dtype.kind == "f" else array.dtype))
    return node, operator, values[node.inputs[0]], [values[name] if name else None for name in node.inputs[1:]]


def first(result):
    return result if isinstance(result, torch.Tensor) else result[0]


def runs(node, operator, x, rest):
    try:
        return first(operator(node, x, *rest)).is_floating_point()
    except Exception:
        return False


def test_every_operator_is_safe_under_vmap():
    seen = set()
    for name, node, operator, x, rest in floating_cases():
        if node.op in DATA_SHAPED or draws(operator) or not runs(node, operator, x, rest):
            continue
        batch = torch.stack([x, x * 0.5 + 0.1, x * 0.25])
        expected = torch.stack([first(operator(node, one, *rest)) for one in batch])
        found = torch.func.vmap(lambda one, node=node, operator=operator, rest=rest: first(operator(node, one, *rest)))(
            batch
        )
        assert torch.allclose(found, expected, atol=1e-9, equal_nan=True), name
        seen.add(node.op)
    assert len(seen) >= 120


def slope(node, operator, x, rest, weight, direction, step=1e-7):
    ends = [first(operator(node, x + sign * step * direction, *rest)) for sign in (1, -1)]
    return float(((ends[0] - ends[1]) * weight).sum()) / (2 * step)


def test_gradients_equal_finite_differences():
    generator = torch.Generator().manual_seed(5)
    checked = set()
    for name, node, operator, x, rest in floating_cases():
        if isinstance(operator, Obstacle) or draws(operator) or node.op in FLAT or not runs(node, operator, x, rest):
            continue
        x = x.clamp(-20, 20) + 1e-3 * torch.rand(x.shape, dtype=torch.float64, generator=generator)
        x.requires_grad_()
        y = first(operator(node, x, *rest))
        weight = torch.randn(y.shape, dtype=torch.float64, generator=generator)
        direction = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        if not y.requires_grad or not torch.isfinite(y).all():
            continue
        (gradient,) = torch.autograd.grad(y, x, weight)
        with torch.no_grad():
            measured = slope(node, operator, x, rest, weight, direction)
        assert float((gradient * direction).sum()) == pytest.approx(measured, rel=1e-4, abs=1e-6), name
        checked.add(node.op)
    assert len(checked) >= 112


def test_every_discontinuous_row_declares_what_it_does():
    suspicious = {"Round", "Floor", "Ceil", "Sign", "ArgMax", "ArgMin", "TopK", "Hardmax", "OneHot", "Mod", "Cast"}
    suspicious |= {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"}
    rows = {key: row for key, row in OPERATORS.items() if key[1] in suspicious}
    assert {op for _, op, _ in rows} == suspicious
    assert all(isinstance(row, Obstacle) and row.effect and row.surrogate for row in rows.values())
