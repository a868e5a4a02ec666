"""The twin on surrogates: the forward to the last bit, and a gradient where autograd has none."""

import warnings

import numpy as np
import pytest
import torch
from onnx import TensorProto

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.translator.paired import Pair
from robcheck.adapters.onnx.translator.translate import translate

FLOAT, INT64, BOOL, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT8
STEEP = 10.0


def step_slope(x):
    return STEEP / 2 / (1 + STEEP * x.abs()) ** 2


@pytest.fixture
def line(save, weights):
    """line(nodes from x to h) -> a file that answers h @ w for x (N, 6), and w."""

    def make(nodes, *, opset=17, batch="N", kind=FLOAT, **values):
        w = weights(6, 3, scale=1.0)
        path = save([*nodes, ("MatMul", ["h", "w"], ["y"])], {"w": w, **values}, [batch, 6], opset=opset, kind=kind)
        return path, torch.from_numpy(w)

    return make


def gradient(classifier, x, kind, column=0):
    x = x.clone().requires_grad_()
    y = classifier.differentiable(kind)(x)
    if not y.requires_grad:
        return None
    return torch.autograd.grad(y[:, column].sum(), x)[0]


def to(code):
    return {"to": code}


CHAINS = {
    "round": ([("Round", ["x"], ["h"])], lambda x: torch.ones_like(x)),
    "floor": ([("Floor", ["x"], ["h"])], lambda x: torch.ones_like(x)),
    "ceil": ([("Ceil", ["x"], ["h"])], lambda x: torch.ones_like(x)),
    "sign": ([("Sign", ["x"], ["h"])], lambda x: 2 * step_slope(x)),
    "cast to integers": (
        [("Cast", ["x"], ["i"], to(INT64)), ("Cast", ["i"], ["h"], to(FLOAT))],
        lambda x: torch.ones_like(x),
    ),
    "arithmetic on integers": (
        [
            ("Cast", ["x"], ["i"], to(INT64)),
            ("Mul", ["i", "three"], ["j"]),
            ("Add", ["j", "three"], ["k"]),
            ("Cast", ["k"], ["h"], to(FLOAT)),
        ],
        lambda x: 3 * torch.ones_like(x),
    ),
    "greater": (
        [("Greater", ["x", "half"], ["b"]), ("Cast", ["b"], ["h"], to(FLOAT))],
        lambda x: step_slope(x - 0.5),
    ),
    "not less": (
        [("Less", ["x", "half"], ["b"]), ("Not", ["b"], ["n"]), ("Cast", ["n"], ["h"], to(FLOAT))],
        lambda x: step_slope(x - 0.5),
    ),
    "where": (
        [("GreaterOrEqual", ["x", "half"], ["b"]), ("Where", ["b", "seven", "x"], ["h"])],
        lambda x: (x < 0.5).float() + (7 - x) * step_slope(x - 0.5),
    ),
    "truth values reshaped": (
        [
            ("Greater", ["x", "half"], ["b"]),
            ("Cast", ["b"], ["i"], to(INT64)),
            ("Transpose", ["i"], ["t"], {"perm": [1, 0]}),
            ("Transpose", ["t"], ["u"], {"perm": [1, 0]}),
            ("Cast", ["u"], ["h"], to(FLOAT)),
        ],
        lambda x: step_slope(x - 0.5),
    ),
}
CONSTANTS = {"three": np.int64(3), "half": np.float32(0.5), "seven": np.float32(7)}


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("name", CHAINS)
def test_surrogates_have_their_derivative_and_the_forward_is_exact(line, name, batch):
    nodes, slope = CHAINS[name]
    used = {source for node in nodes for source in node[1]}
    path, w = line(nodes, batch=batch, **{key: value for key, value in CONSTANTS.items() if key in used})
    classifier = load_onnx(path, bounds=(-2, 2))
    x = torch.empty(5, 6).uniform_(-2, 2, generator=torch.Generator().manual_seed(1))
    exact, bpda = (classifier.differentiable(kind)(x) for kind in ("exact", "bpda"))
    assert torch.equal(exact, bpda)
    np.testing.assert_allclose(bpda.detach(), classifier.logits(x), atol=1e-5)
    assert set(classifier.info.obstacles) & {"Round", "Floor", "Ceil", "Sign", "Cast", "Greater", "Less"} or (
        "GreaterOrEqual" in classifier.info.obstacles
    )
    torch.testing.assert_close(gradient(classifier, x, "bpda"), slope(x) * w[:, 0])


@pytest.mark.parametrize("name", ["round", "sign", "cast to integers", "greater"])
def test_the_exact_gradient_stays_what_it_is(line, name):
    nodes, _ = CHAINS[name]
    used = {source for node in nodes for source in node[1]}
    path, _ = line(nodes, **{key: value for key, value in CONSTANTS.items() if key in used})
    found = gradient(load_onnx(path), torch.rand(3, 6), "exact")
    assert found is None or not found.any()


def test_a_surrogate_that_is_infinite_spoils_nothing(line, run_file):
    path, _ = line(
        [("Greater", ["x", "half"], ["b"]), ("Where", ["b", "x", "minus"], ["m"]), ("Exp", ["m"], ["h"])],
        half=np.float32(0.5),
        minus=np.float32(-np.inf),
    )
    classifier = load_onnx(path)
    x = torch.rand(4, 6)
    np.testing.assert_allclose(classifier.differentiable("bpda")(x).detach(), run_file(path, x), atol=1e-5)
    assert gradient(classifier, x, "bpda").isfinite().all()


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("end", ["places", "first place"])
def test_top_k_outputs_are_labels(save, weights, k, end):
    tail = [("TopK", ["z", "k"], ["v", "p"])]
    if end == "first place":
        tail += [("Gather", ["p", "first"], ["label"], {"axis": 1})]
    values = {"w": weights(6, 5, scale=1.0), "k": np.array([k]), "first": np.int64(0)}
    outputs = ("v", "p" if end == "places" else "label")
    nodes = [("MatMul", ["x", "w"], ["z"]), *tail]
    path = save(nodes, values, ["N", 6], outputs=outputs, kinds=(FLOAT, INT64))
    classifier = load_onnx(path)
    x = torch.rand(40, 6)
    scores = x @ torch.from_numpy(values["w"])
    assert classifier.info.output == "labels"
    assert classifier.info.classes == 5
    assert torch.equal(classifier.logits(x).argmax(1), scores.argmax(1))
    torch.testing.assert_close(classifier.differentiable()(x), scores)
    assert classifier.info.obstacles == {}


def test_scores_that_stay_whole_numbers(save, weights):
    values = {"w": weights(6, 5, scale=40.0)}
    nodes = [("MatMul", ["x", "w"], ["z"]), ("Round", ["z"], ["r"]), ("Cast", ["r"], ["y"], to(TensorProto.INT32))]
    classifier = load_onnx(save(nodes, values, ["N", 6], kinds=(TensorProto.INT32,)))
    x = torch.rand(4, 6)
    assert classifier.info.output == "logits"
    assert torch.equal(classifier.logits(x), (x @ torch.from_numpy(values["w"])).round())
    assert torch.equal(classifier.differentiable("bpda")(x), classifier.logits(x))
    torch.testing.assert_close(
        gradient(classifier, x, "bpda", 2), torch.from_numpy(values["w"])[:, 2].expand(4, 6).contiguous()
    )


def test_whole_inputs_are_rounded_straight_through(line):
    path, w = line([("Cast", ["x"], ["h"], to(FLOAT))], kind=UINT8)
    classifier = load_onnx(path)
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    rounded = (x * 255).round() @ w
    torch.testing.assert_close(classifier.logits(x), rounded, rtol=1e-5, atol=1e-3)
    for kind in ("exact", "bpda"):
        torch.testing.assert_close(classifier.differentiable(kind)(x), rounded, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(gradient(classifier, x, kind), (255 * w[:, 0]).expand(5, 6).contiguous())


def test_the_double_twin_is_the_twin_in_float64(cnn):
    classifier = load_onnx(cnn())
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    wide = classifier.double()(x)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), classifier.differentiable()(x.float()), atol=1e-5, rtol=1e-5)
    assert classifier.differentiable()(x.float()).dtype == torch.float32


def test_every_covered_node_case_is_the_same_on_surrogates():
    """Where a case runs at all, its outputs do not change with the kind of gradient."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    compared = set()
    for case in cases:
        inputs = case.data_sets[0][0]
        plain = all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in inputs)
        names = [value.name for value in case.model.graph.input]
        if not plain or case.model.functions or len(names) != len(inputs) or "random" in case.name:
            continue
        module = translate(case.model, None, names, [value.name for value in case.model.graph.output]).module
        if module is None:
            continue
        tensors = [torch.from_numpy(np.array(array)) for array in inputs]
        tensors = [tensor.float() if tensor.dtype == torch.float16 else tensor for tensor in tensors]
        try:
            expected = module.run(tensors, bpda=False)
        except Exception:
            continue
        if not all(isinstance(value, torch.Tensor) for value in expected) or any(
            operator in case.name for operator in ("bernoulli", "dropout_default_ratio", "training_dropout")
        ):
            continue
        given = [t if t.is_floating_point() else Pair(t, t.to(torch.float32)) for t in tensors]
        found = module.run(given, bpda=True)
        for left, right in zip(expected, found, strict=True):
            right = getattr(right, "exact", right)
            assert left.dtype == right.dtype, case.name
            assert torch.equal(left.nan_to_num(), right.nan_to_num()), case.name
        compared.add(case.model.graph.node[0].op_type)
    assert len(compared) >= 120


def test_integer_preprocessing_in_front_of_the_network(save, weights, run_file):
    """Whole pixels, halved by a division that cuts, and shifted: what is done to integers is done to integers."""
    nodes = [
        ("Div", ["x", "two"], ["a"]),
        ("BitShift", ["a", "bits"], ["b"], {"direction": "RIGHT"}),
        ("Cast", ["b"], ["c"], to(FLOAT)),
        ("MatMul", ["c", "w"], ["y"]),
    ]
    values = {"two": np.uint8(2), "bits": np.uint8(2), "w": weights(6, 3, scale=1.0)}
    path = save(nodes, values, ["N", 6], kind=UINT8)
    classifier = load_onnx(path)
    x = torch.rand(5, 6)
    expected = run_file(path, (x * 255).round(), np.uint8)
    for kind in ("exact", "bpda"):
        np.testing.assert_allclose(classifier.differentiable(kind)(x).detach(), expected, atol=1e-5)
        torch.testing.assert_close(
            gradient(classifier, x, kind), (torch.from_numpy(values["w"])[:, 0] * 255 / 8).expand(5, 6).contiguous()
        )


def test_a_table_has_the_slope_between_its_entries(save, weights):
    """A gamma curve as a table of 256 entries, looked up by the pixel."""
    table = (np.arange(256, dtype=np.float32) / 255) ** 2
    nodes = [
        ("Cast", ["x"], ["i"], to(INT64)),
        ("Gather", ["table", "i"], ["h"]),
        ("MatMul", ["h", "w"], ["y"]),
    ]
    w = weights(6, 3, scale=1.0)
    classifier = load_onnx(save(nodes, {"table": table, "w": w}, ["N", 6], kind=UINT8))
    x = torch.randint(1, 255, (5, 6), generator=torch.Generator().manual_seed(0)) / 255
    assert "Gather" in classifier.info.obstacles
    expected = 2 * x * torch.from_numpy(w)[:, 0]
    torch.testing.assert_close(gradient(classifier, x, "bpda"), expected, atol=1e-4, rtol=1e-3)


def test_a_remainder_that_rounds_keeps_a_slope(line):
    path, w = line([("Mod", ["x", "step"], ["r"], {"fmod": 1}), ("Sub", ["x", "r"], ["h"])], step=np.float32(0.125))
    classifier = load_onnx(path)
    x = torch.rand(5, 6)
    torch.testing.assert_close(gradient(classifier, x, "bpda"), (0.5 * w[:, 0]).expand(5, 6).contiguous())
