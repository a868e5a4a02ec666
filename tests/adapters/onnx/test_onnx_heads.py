"""Heads that saturate in float32: gradients start in front of them, and both forwards still agree."""

import numpy as np
import pytest
import torch

from robcheck.adapters.onnx import load_onnx

SCALE = 60.0
CONSTANTS = {"one": np.float32(1), "tiny": np.float32(1e-7), "near": np.float32(1 - 1e-7)}
HEADS = {
    "softmax": ([("Softmax", ["z"], ["y"])], "probabilities", "Softmax"),
    "log of softmax": ([("Softmax", ["z"], ["p"]), ("Log", ["p"], ["y"])], "log-probabilities", "Softmax"),
    "log softmax": ([("LogSoftmax", ["z"], ["y"])], "log-probabilities", "LogSoftmax"),
    "clipped softmax": (
        [("Softmax", ["z"], ["p"]), ("Clip", ["p", "tiny", "near"], ["y"])],
        "probabilities",
        "Softmax",
    ),
    "log of clipped softmax": (
        [("Softmax", ["z"], ["p"]), ("Clip", ["p", "tiny", "one"], ["q"]), ("Log", ["q"], ["y"])],
        "log-probabilities",
        "Softmax",
    ),
    "log of softmax and a little": (
        [("Softmax", ["z"], ["p"]), ("Add", ["tiny", "p"], ["q"]), ("Log", ["q"], ["y"])],
        "log-probabilities",
        "Softmax",
    ),
    "sigmoid for each class": ([("Sigmoid", ["z"], ["y"])], "sigmoids", "Sigmoid"),
}


def make(save, weights, head, columns=5, opset=17):
    used = {name for node in head for name in node[1]}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    return save(
        [("MatMul", ["x", "w"], ["m"]), ("Sub", ["m", "b"], ["z"]), *head],
        {"w": weights(16, columns, scale=SCALE), "b": weights(columns, scale=SCALE), **constants},
        ["N", 16],
        opset=opset,
    )


def alive(classifier, x, column):
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(classifier.differentiable()(x)[:, column].sum(), x)
    return bool((slope.isfinite() & (slope != 0)).all())


@pytest.mark.parametrize("name", HEADS)
def test_gradients_start_in_front_of_the_head(save, weights, name):
    head, kind, operator = HEADS[name]
    classifier = load_onnx(make(save, weights, head))
    x = torch.rand(64, 16)
    assert classifier.info.output == kind
    assert classifier.info.twin.tap == operator
    record = classifier.check_parity(x)
    assert record.available, record.reason
    assert all(alive(classifier, x, column) for column in range(5))
    scores, twin = classifier.logits(x), classifier.differentiable()(x).detach()
    best = scores.topk(2, dim=1).values
    clear = best[:, 0] > best[:, 1]
    assert clear.sum() > 10
    assert torch.equal(scores.argmax(1)[clear], twin.argmax(1)[clear])


@pytest.mark.parametrize("order", [["q", "p"], ["p", "q"]])
def test_two_columns_from_one_sigmoid(save, weights, order):
    head = [("Sigmoid", ["z"], ["p"]), ("Sub", ["one", "p"], ["q"]), ("Concat", order, ["y"], {"axis": 1})]
    classifier = load_onnx(make(save, weights, head, columns=1))
    x = torch.rand(64, 16)
    assert (classifier.info.output, classifier.info.classes) == ("probabilities", 2)
    record = classifier.check_parity(x)
    assert record.available, record.reason
    assert alive(classifier, x, order.index("p"))
    assert torch.equal(classifier.logits(x).argmax(1), classifier.differentiable()(x).argmax(1))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ([("Softmax", ["z"], ["p"]), ("Softmax", ["p"], ["y"])], "the softmax of a softmax"),
        (
            [("LogSoftmax", ["z"], ["p"]), ("Clip", ["p", "tiny", "one"], ["q"]), ("Softmax", ["q"], ["y"])],
            "a clip inside",
        ),
        ([("Softmax", ["z"], ["p"]), ("Add", ["p", "one"], ["q"]), ("Log", ["q"], ["y"])], "one is not a little"),
    ],
)
def test_other_heads_are_not_passed_over(save, weights, head, why):
    classifier = load_onnx(make(save, weights, head))
    assert classifier.info.twin.available, why
    x = torch.rand(16, 16)
    scores, twin = classifier.logits(x), classifier.differentiable()(x)
    if classifier.info.output == "probabilities":
        scores, twin = scores.softmax(1), twin.softmax(1)
    torch.testing.assert_close(twin.detach(), scores, atol=1e-5, rtol=1e-5)


def test_a_background_class_that_is_cut_off_stays_cut_off(save, weights):
    """Between Softmax and ArgMax a Slice is no way of picking the first place."""
    head = [
        ("Softmax", ["z"], ["p"]),
        ("Slice", ["p", "first", "last", "axis"], ["s"]),
        ("ArgMax", ["s"], ["y"], {"axis": 1, "keepdims": 0}),
    ]
    path = save(
        [("MatMul", ["x", "w"], ["z"]), *head],
        {"w": weights(16, 5), "first": np.array([1]), "last": np.array([5]), "axis": np.array([1])},
        ["N", 16],
        kinds=(7,),
    )
    classifier = load_onnx(path)
    x = torch.rand(16, 16)
    assert (classifier.info.output, classifier.info.classes) == ("labels", 4)
    assert torch.equal(classifier.logits(x).argmax(1), classifier.differentiable()(x).argmax(1))


def test_the_label_of_two_columns_from_one_sigmoid(save, weights):
    head = [
        ("Sigmoid", ["z"], ["p"]),
        ("Sub", ["one", "p"], ["q"]),
        ("Concat", ["q", "p"], ["c"], {"axis": 1}),
        ("ArgMax", ["c"], ["y"], {"axis": 1, "keepdims": 0}),
    ]
    values = {"w": weights(16, 1, scale=SCALE), "one": np.float32(1)}
    path = save([("MatMul", ["x", "w"], ["z"]), *head], values, ["N", 16], kinds=(7,))
    classifier = load_onnx(path)
    x = torch.rand(64, 16)
    assert (classifier.info.output, classifier.info.classes) == ("labels", 2)
    assert classifier.info.twin.available
    assert torch.equal(classifier.logits(x).argmax(1), classifier.differentiable()(x).argmax(1))
    assert alive(classifier, x, 1)
