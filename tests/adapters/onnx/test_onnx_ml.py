"""Operators of ai.onnx.ml against onnxruntime, and files as scikit-learn's converter writes them."""

from itertools import product

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.translator.node import Node, UntranslatableError
from robcheck.adapters.onnx.translator.operators.learned.features import BINARIZER
from robcheck.harness.errors import ModelError

LEARNED = "ai.onnx.ml"
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
KERNELS = {"LINEAR": [0.0, 0.0, 0.0], "POLY": [0.3, 0.5, 3.0], "RBF": [0.2, 0.0, 0.0], "SIGMOID": [0.2, 0.3, 0.0]}


@pytest.fixture
def draw(weights):
    return lambda *shape: weights(*shape, scale=1.0)


@pytest.fixture
def flat(draw):
    return lambda count: draw(count).tolist()


@pytest.fixture
def node(one_node):
    return lambda op, *inputs, **more: one_node(op, inputs, LEARNED, **more)


@pytest.fixture
def scores(one_node):
    """scores(op, x, ...) -> the node of a classifier, judged by its second output."""

    def make(op, x, **more):
        label = TensorProto.STRING if "classlabels_strings" in more else TensorProto.INT64
        kinds = (label, TensorProto.FLOAT)
        return one_node(op, [x], LEARNED, outputs=("label", "y"), kinds=kinds, want="y", **more)

    return make


def refused(made, match):
    with pytest.raises(UntranslatableError, match=match):
        made.twin()(torch.from_numpy(made.x))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_linear_classifier(scores, draw, flat, transform):
    more = {"post_transform": transform}
    x = draw(3, 4)
    three = {"coefficients": flat(12), "intercepts": flat(3), "classlabels_ints": [0, 1, 2]}
    scores("LinearClassifier", x, **three, **more).check()
    scores("LinearClassifier", x.astype(np.float64), **three, **more).check()
    scores("LinearClassifier", (5 * x).astype(np.int64), **three, **more).check(smooth=False)
    scores("LinearClassifier", x[0], **three, **more).check(batched=False)
    two = {"coefficients": flat(8), "intercepts": flat(2), "classlabels_strings": ["a", "b"]}
    scores("LinearClassifier", x, **two, **more).check()
    one = {"coefficients": flat(4), "intercepts": flat(1)}
    scores("LinearClassifier", x, **one, **more).check()
    scores("LinearClassifier", x, **one, **more, classlabels_ints=[0, 1]).check()
    scores("LinearClassifier", x, **one, **more, classlabels_strings=["a", "b"]).check()


def test_softmax_zero_skips_zeros(scores, flat):
    x = np.zeros((2, 4), np.float32)
    for last in (1.0, -1.0):
        more = {"coefficients": flat(12), "intercepts": [0.0, 0.0, last], "classlabels_ints": [0, 1, 2]}
        scores("LinearClassifier", x, post_transform="SOFTMAX_ZERO", **more).check(smooth=False)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_linear_regressor(node, draw, flat, transform):
    x = draw(3, 4)
    node("LinearRegressor", x, coefficients=flat(12), intercepts=flat(3), targets=3, post_transform=transform).check()
    node("LinearRegressor", x, coefficients=flat(12), intercepts=flat(1), targets=3, post_transform=transform).check()
    node("LinearRegressor", x, coefficients=flat(4), targets=1, post_transform=transform).check()


def support(flat, kernel, classes, transform="NONE", probable=False):
    sizes = [2 + place % 3 for place in range(classes)]
    pairs = classes * (classes - 1) // 2
    more = {
        "vectors_per_class": sizes,
        "coefficients": flat((classes - 1) * sum(sizes)),
        "support_vectors": flat(4 * sum(sizes)),
        "rho": flat(pairs),
        "kernel_type": kernel,
        "kernel_params": KERNELS[kernel],
        "classlabels_ints": list(range(classes)),
        "post_transform": transform,
    }
    if probable:
        more |= {"prob_a": [-0.2 - abs(value) for value in flat(pairs)], "prob_b": flat(pairs)}
    return more


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("probable", [False, True])
def test_svm_classifier(scores, draw, flat, kernel, probable):
    for classes, transform in product((2, 3, 5), TRANSFORMS):
        more = support(flat, kernel, classes, transform, probable)
        # one sample at a time runs every round of the coupling, which takes a while
        quick = not probable or (classes, transform) == (3, "NONE")
        scores("SVMClassifier", draw(3, 4), **more).check(batched=quick)


def test_svm_classifier_couples_many_classes_as_onnxruntime_does(scores, draw, flat):
    for _ in range(5):
        scores("SVMClassifier", 3 * draw(6, 4), **support(flat, "RBF", 10, probable=True)).check(batched=False)


@pytest.mark.parametrize("degree", [1.0, 2.0, 2.5])
def test_svm_classifier_of_other_degrees(scores, draw, flat, degree):
    more = support(flat, "POLY", 3) | {"kernel_params": [0.1, 9.0, degree]}
    scores("SVMClassifier", draw(3, 4), **more).check()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_svm_classifier_without_vectors_is_linear(scores, draw, flat, transform):
    for classes in (2, 3):
        more = {"coefficients": flat(4 * classes), "rho": flat(classes), "classlabels_ints": list(range(classes))}
        more |= {"kernel_type": "RBF", "kernel_params": KERNELS["RBF"], "post_transform": transform}
        scores("SVMClassifier", draw(3, 4), **more).check()


@pytest.mark.parametrize("kernel", KERNELS)
def test_svm_regressor(node, draw, flat, kernel):
    more = {"kernel_type": kernel, "kernel_params": KERNELS[kernel], "rho": flat(1)}
    node("SVMRegressor", draw(3, 4), n_supports=5, coefficients=flat(5), support_vectors=flat(20), **more).check()
    more["kernel_type"] = "LINEAR"
    node("SVMRegressor", draw(3, 4), n_supports=0, coefficients=flat(4), **more).check()


def test_what_classical_models_are_refused_for(scores, node, one_node, draw, flat):
    x = draw(3, 4)
    linear = {"coefficients": flat(12), "intercepts": flat(3)}
    labelled = linear | {"classlabels_ints": [0, 1, 2]}
    refused(scores("LinearClassifier", x, post_transform="PROBIT", **labelled), "PROBIT")
    refused(node("LinearRegressor", x, targets=3, post_transform="PROBIT", **linear), "PROBIT")
    refused(scores("SVMClassifier", x, **support(flat, "RBF", 3, "PROBIT", True)), "PROBIT")
    machine = {"coefficients": flat(4), "rho": flat(1), "kernel_params": KERNELS["RBF"]}
    refused(node("SVMRegressor", x, one_class=1, **machine), "sign")
    refused(node("SVMRegressor", x, post_transform="LOGISTIC", **machine), "transform")
    kinds = (TensorProto.INT64, TensorProto.FLOAT)
    refused(one_node("LinearClassifier", [x], LEARNED, outputs=("y", "s"), kinds=kinds, **labelled), "label")
    refused(node("Normalizer", draw(2, 3, 4)), "3 dimensions")
    refused(node("Scaler", draw(2, 3, 3), scale=flat(3), offset=flat(3)), "3 dimensions")


def test_scaler(node, draw, flat):
    x = draw(3, 4)
    each = {"scale": flat(4), "offset": flat(4)}
    node("Scaler", x, **each).check()
    node("Scaler", x[0], **each).check(batched=False)
    node("Scaler", x.astype(np.float64), **each).check()
    node("Scaler", (9 * x).astype(np.int64), **each).check(smooth=False)
    node("Scaler", draw(2, 3, 4), scale=[2.0], offset=[0.3]).check()


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer(node, draw, norm):
    x = draw(3, 4)
    node("Normalizer", x, norm=norm).check()
    node("Normalizer", x[0], norm=norm).check(batched=False)
    node("Normalizer", x.astype(np.float64), norm=norm).check()
    node("Normalizer", (9 * x).astype(np.int64), norm=norm).check(smooth=False)
    x[1] = 0.0
    x[2] = -np.abs(x[2])
    made = node("Normalizer", x, norm=norm)
    made.check(smooth=False)
    start = torch.from_numpy(x).requires_grad_()
    (gradient,) = torch.autograd.grad(made.twin()(start).sum(), start)
    assert torch.isfinite(gradient).all()


def test_imputer(node, draw, flat):
    x = draw(3, 4)
    x[1, 0] = x[2, 2] = -1.0
    for values in (flat(4), [0.5], [0.5, 0.6]):
        node("Imputer", x, imputed_value_floats=values, replaced_value_float=-1.0).check(smooth=False)
    node("Imputer", draw(3, 4), imputed_value_floats=flat(4), replaced_value_float=0.0).check()
    x[0, 1] = np.nan
    made = node("Imputer", x, imputed_value_floats=flat(4), replaced_value_float=float("nan"))
    made.check(smooth=False)
    assert not torch.isnan(made.twin()(torch.from_numpy(x))).any()
    whole = {"imputed_value_int64s": [5, 6, 7, 8], "replaced_value_int64": 0, "kinds": (TensorProto.INT64,)}
    node("Imputer", (3 * x[1:]).astype(np.int64), **whole).check(smooth=False)


def test_binarizer(node):
    x = np.float32([[0.5, 0.7], [0.4, -0.5], [0.0, 1.0]])
    node("Binarizer", x).check(smooth=False)
    made = node("Binarizer", x, threshold=0.5)
    made.check(smooth=False)


@pytest.mark.parametrize(("threshold", "far"), [(0.5, 1.0), (7.5, 16.0), (127.5, 255.0)])
def test_a_binarizer_has_a_stand_in_that_slopes_everywhere(threshold, far):
    node = Node(LEARNED, "Binarizer", "", 3, ("x",), ("y",), {"threshold": threshold})
    x = torch.tensor([[0.0, threshold, far]], requires_grad=True)
    (slope,) = torch.autograd.grad(BINARIZER.surrogate(node, x).sum(), x)
    assert slope.min() > 1e-6
    assert slope.argmax() == 1


def test_features_are_joined_and_chosen(node, draw):
    x, index = draw(3, 4), np.array([[2, 0], [1, 1]], np.int64)
    for widths in ([4, 3], [2, 3], [6, 2], [4, 5]):
        node("FeatureVectorizer", x, draw(3, 3), inputdimensions=widths).check(batched=False)
    node("FeatureVectorizer", draw(2, 3, 2), inputdimensions=[6]).check()
    node("ArrayFeatureExtractor", x, index).check()
    node("ArrayFeatureExtractor", x[0], index).check(batched=False)
    node("ArrayFeatureExtractor", draw(2, 3, 4), index[0]).check()


@pytest.fixture
def learned(tmp_path):
    """learned(nodes, outputs) -> path of a file over (N, 4); the last outputs may be maps."""

    def write(nodes, outputs, strings=()):
        graph = helper.make_graph(
            [helper.make_node(op, i, o, domain=home, **more) for op, i, o, home, more in nodes],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
            outputs,
            [helper.make_tensor("classes", TensorProto.STRING, [len(strings)], strings)] if strings else [],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(LEARNED, 3)]
        path = tmp_path / "m.onnx"
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 8
        path.write_bytes(model.SerializeToString())
        return path

    return write


def tensor(name, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, None)


def table_of(key):
    row = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return helper.make_value_info("p", helper.make_sequence_type_proto(row))


def pipeline(flat, classes, tail, **more):
    linear = {"coefficients": flat(4 * classes), "intercepts": flat(classes), "classlabels_ints": list(range(classes))}
    linear |= more
    if "classlabels_strings" in linear:
        del linear["classlabels_ints"]
    return [
        ("Scaler", ["x"], ["s"], LEARNED, {"scale": flat(4), "offset": flat(4)}),
        ("LinearClassifier", ["s"], ["label", "raw"], LEARNED, linear),
        ("Normalizer", ["raw"], ["n"], LEARNED, {"norm": "L1"}),
        *tail,
    ]


@pytest.mark.parametrize("key", [TensorProto.INT64, TensorProto.STRING])
def test_probabilities_in_a_map_are_scores(learned, flat, key):
    names = [f"c{place}" for place in range(3)]
    labels = {"classlabels_strings": names} if key == TensorProto.STRING else {"classlabels_int64s": [0, 1, 2]}
    of_linear = {"classlabels_strings": names} if key == TensorProto.STRING else {}
    tail = [("ZipMap", ["n"], ["p"], LEARNED, labels)]
    path = learned(
        pipeline(flat, 3, tail, post_transform="SOFTMAX", **of_linear), [tensor("label", key), table_of(key)]
    )
    classifier = load_onnx(path)
    assert (classifier.info.output, classifier.info.classes) == ("probabilities", 3)
    twin = classifier.differentiable()
    assert twin is not None, classifier.info.twin.reason
    x = torch.rand(5, 4)
    assert torch.allclose(twin(x), classifier.logits(x), atol=1e-5)
    found = twin(x.requires_grad_()).sum(0)[0]
    assert torch.autograd.grad(found, x)[0].abs().min() > 0


def test_saturated_probabilities_of_two_classes_do_not_close_the_twin(learned, flat):
    nodes = pipeline(flat, 2, [], post_transform="LOGISTIC")
    slope = [9.0, -7.0, 5.0, 8.0]
    nodes[0][4]["scale"] = [3.0] * 4
    nodes[1][4].update(coefficients=[-value for value in slope] + slope, intercepts=[-1.0, 1.0])
    classifier = load_onnx(learned(nodes, [tensor("label", TensorProto.INT64), tensor("n")]))
    assert classifier.differentiable() is not None, classifier.info.twin.reason
    record = classifier.check_parity(torch.rand(64, 4))
    assert record.available
    assert record.scale > 14.0


def test_texts_beside_the_scores_do_not_matter(learned, flat):
    tail = [
        ("Softmax", ["raw"], ["y"], "", {}),
        ("ArgMax", ["y"], ["best"], "", {"axis": 1, "keepdims": 0}),
        ("ArrayFeatureExtractor", ["classes", "best"], ["name"], LEARNED, {}),
    ]
    outputs = [tensor("name", TensorProto.STRING), tensor("y")]
    classifier = load_onnx(learned(pipeline(flat, 3, tail), outputs, strings=[b"a", b"b", b"c"]))
    assert classifier.differentiable() is not None, classifier.info.twin.reason
    assert classifier.info.twin.reason == "taken in front of the final Softmax"


def test_a_final_exp_is_tapped_unless_a_softmax_follows(learned, flat):
    tail = [("LogSoftmax", ["raw"], ["l"], "", {}), ("Exp", ["l"], ["y"], "", {})]
    classifier = load_onnx(learned(pipeline(flat, 3, tail), [tensor("y")]))
    assert classifier.info.twin.reason == "taken in front of the final Exp"
    assert classifier.differentiable() is not None
    tail = [("Exp", ["raw"], ["e"], "", {}), ("Softmax", ["e"], ["y"], "", {})]
    classifier = load_onnx(learned(pipeline(flat, 3, tail), [tensor("y")]))
    assert classifier.info.twin.reason == "taken in front of the final Softmax"
    assert classifier.differentiable() is not None, classifier.info.twin.reason


def test_scores_of_pairs_are_no_scores_of_classes(learned, flat):
    nodes = [("SVMClassifier", ["x"], ["label", "y"], LEARNED, support(flat, "RBF", 4))]
    with pytest.raises(ModelError, match="labels only"):
        load_onnx(learned(nodes, [tensor("label", TensorProto.INT64), tensor("y")]))


def test_trees_are_named_and_everything_else_runs(learned, flat):
    tree = {
        "class_ids": [0, 1],
        "class_nodeids": [1, 2],
        "class_treeids": [0, 0],
        "class_weights": [1.0, 1.0],
        "classlabels_int64s": [0, 1],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_nodeids": [0, 1, 2],
        "nodes_treeids": [0, 0, 0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
    }
    nodes = [
        ("Scaler", ["x"], ["s"], LEARNED, {"scale": flat(4), "offset": flat(4)}),
        ("TreeEnsembleClassifier", ["s"], ["label", "y"], LEARNED, tree),
    ]
    path = learned(nodes, [tensor("label", TensorProto.INT64), tensor("y")])
    assert onnx.load(str(path)).graph.node[1].domain == LEARNED
    classifier = load_onnx(path)
    assert classifier.differentiable() is None
    assert classifier.info.missing_operators == ("ai.onnx.ml::TreeEnsembleClassifier",)
    assert classifier.logits(torch.rand(3, 4)).shape == (3, 2)
