"""A second output that refuses: the same decisions as the file's, a twin with a gradient of its own, clear refusals."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.rejecting import RejectingOnnxClassifier
from robcheck.adapters.onnx.score import Score
from robcheck.adapters.rejection import Declared
from robcheck.harness.classifier import RejectingClassifier
from robcheck.harness.errors import ModelError, UsageError
from robcheck.harness.model_info import Rejection

FLOAT, DOUBLE, BOOL, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BOOL, TensorProto.INT64
STEEP = 10.0
X = torch.rand(24, 12, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def detector(save):
    """detector(tail, kind) -> a file with logits y and what `tail` makes of the linear detector z (N, 1) as score."""

    def make(tail, kind=FLOAT, *, batch="N", head=(), outputs=("y", "score"), **values):
        nodes = [
            ("Gemm", ["x", "w"], ["h"]),
            ("Relu", ["h"], ["r"]),
            ("Gemm", ["r", "v"], ["logits" if head else "y"]),
            *head,
            ("Gemm", ["r", "d", "e"], ["z"]),
            *tail,
        ]
        generator = np.random.default_rng(7)
        w, v, d = (0.3 * generator.standard_normal(shape).astype(np.float32) for shape in ((12, 8), (8, 5), (8, 1)))
        own = {"w": w, "v": v, "d": 12 * d, "e": np.float32([1.6])}
        kinds = tuple(kind if name == "score" else FLOAT for name in outputs)
        return save(nodes, {**own, **values}, [batch, 12], outputs=outputs, kinds=kinds)

    return make


def answers(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batch = session.get_inputs()[0].shape[0]
    size = batch if isinstance(batch, int) else len(x)
    rows = [session.run(["y", "score"], {"x": x[i : i + size].numpy()}) for i in range(0, len(x), size)]
    return tuple(np.concatenate([row[place] for row in rows]) for place in (0, 1))


def slope(function, x, step=1e-2):
    """Central differences of (N,) in every feature of x (N, D)."""
    moves = step * torch.eye(x.shape[1])
    return torch.stack([(function(x + move) - function(x - move)) / (2 * step) for move in moves], dim=1)


VERDICT = ("Greater", ["z", "limit"], ["b"])
FORMS = {
    "(N, 1)": ([("Identity", ["z"], ["score"])], FLOAT, 0.3, "score"),
    "(N,)": ([("Flatten", ["z"], ["f"]), ("Squeeze", ["f", "one"], ["score"])], FLOAT, 0.3, "score"),
    "sigmoid": ([("Sigmoid", ["z"], ["score"])], FLOAT, 0.6, "log-odds"),
    "float64": ([("Cast", ["z"], ["score"], {"to": DOUBLE})], DOUBLE, 0.3, "score"),
    "flag": ([("Greater", ["z", "limit"], ["score"])], BOOL, 0.5, "whole"),
    "flag as numbers": ([VERDICT, ("Cast", ["b"], ["score"], {"to": INT64})], INT64, 0, "whole"),
    "count": ([("Round", ["z"], ["r1"]), ("Cast", ["r1"], ["score"], {"to": INT64})], INT64, 0.5, "whole"),
}  # fmt: skip
CONSTANTS = {"one": np.array([1]), "limit": np.float32(0.3)}


@pytest.mark.parametrize("batch", ["N", 1, 5])
@pytest.mark.parametrize("form", FORMS)
def test_both_answers_are_those_of_the_file(detector, form, batch):
    tail, kind, above, unit = FORMS[form]
    used = {name for node in tail for name in node[1]}
    path = detector(tail, kind, batch=batch, **{k: v for k, v in CONSTANTS.items() if k in used})
    x = X[:20]
    y, score = answers(path, x)
    model = load_onnx(path, reject_output="score", reject_above=above)
    assert isinstance(model, RejectingClassifier)
    logits, excess = model.with_rejection(x)
    assert (logits.shape, excess.shape, excess.dtype) == ((20, 5), (20,), torch.float32)
    np.testing.assert_allclose(logits, y, atol=1e-5)
    assert (excess > 0).tolist() == (score.reshape(-1) > np.float32(above)).tolist()
    assert 0 < int((excess > 0).sum()) < 20, "a threshold that decides nothing would test nothing"
    if unit != "log-odds":
        np.testing.assert_allclose(excess, score.reshape(-1) - above, atol=1e-5)
    assert torch.equal(model.logits(x), logits)
    info = model.info.rejection
    assert (info.output, info.above, info.unit) == ("score", above, unit)
    assert info.parity <= 1e-5
    for name in ("bpda",) if unit == "whole" else ("exact", "bpda"):
        found, twin = model.differentiable_rejection(name)(x)
        torch.testing.assert_close(found, logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(twin, excess, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("batch", ["N", 1])
def test_the_score_has_its_own_gradient(detector, batch):
    path = detector(FORMS["(N, 1)"][0], batch=batch)
    model = load_onnx(path, reject_output="score", reject_above=0.3)
    x = X.clone().requires_grad_()
    logits, excess = model.differentiable_rejection()(x)
    (of_score,) = torch.autograd.grad(excess.sum(), x, retain_graph=True)
    (of_logits,) = torch.autograd.grad(logits[:, 1].sum(), x)
    score = slope(lambda z: torch.from_numpy(answers(path, z)[1]).reshape(-1), X)
    first = slope(lambda z: torch.from_numpy(answers(path, z)[0])[:, 1], X)
    # a kink of the Relu between the two points spoils a difference
    near = (of_score - score).abs().amax(dim=1) < 1e-3
    assert near.float().mean() > 0.6
    assert ((of_logits - first).abs().amax(dim=1)[near] < 1e-3).float().mean() > 0.9
    y = X.clone().requires_grad_()
    (alone,) = torch.autograd.grad(model.differentiable()(y)[:, 1].sum(), y)
    torch.testing.assert_close(alone, of_logits)


def test_a_flag_has_the_gradient_of_a_soft_step(detector):
    raw = load_onnx(detector(FORMS["(N, 1)"][0]), reject_output="score", reject_above=0.3)
    flag = load_onnx(detector(FORMS["flag"][0], BOOL, limit=np.float32(0.3)), reject_output="score", reject_above=0.5)
    assert "Greater" in flag.info.obstacles
    assert raw.info.obstacles == {}

    def gradient(model, kind):
        x = X.clone().requires_grad_()
        excess = model.differentiable_rejection(kind)(x)[1]
        return excess, torch.autograd.grad(excess.sum(), x)[0]

    distance, straight = gradient(raw, "exact")
    excess, soft = gradient(flag, "bpda")
    assert set(excess.tolist()) == {-0.5, 0.5}
    step = STEEP / 2 / (1 + STEEP * distance.detach().abs()) ** 2
    torch.testing.assert_close(soft, step[:, None] * straight, atol=1e-5, rtol=1e-4)
    assert flag.differentiable_rejection("exact") is None, "there is no such gradient past the detector"
    assert flag.differentiable("exact") is not None


def test_a_detector_that_is_sure_keeps_its_gradient(detector):
    """Behind a saturated sigmoid there is none: the excess is in log-odds, by the same decisions."""
    tail = [("Mul", ["z", "big"], ["s"]), ("Sigmoid", ["s"], ["score"])]
    path = detector(tail, big=np.float32(200))
    model = load_onnx(path, reject_output="score", reject_above=0.5)
    score = answers(path, X)[1].reshape(-1)
    assert (score == 1).any()
    x = X.clone().requires_grad_()
    logits, excess = model.differentiable_rejection()(x)
    gradient = torch.autograd.grad(excess.sum(), x)[0]
    assert bool((gradient.abs().sum(dim=1) > 1).all())
    assert (model.with_rejection(X)[1] > 0).tolist() == (score > 0.5).tolist()
    assert model.info.twin.available
    assert logits.shape == (24, 5)


@pytest.mark.parametrize("above", [0.1, 0.25, 1 / 3])
@pytest.mark.parametrize("squash", [False, True])
def test_what_scores_exactly_the_threshold_is_not_above_it(above, squash):
    """Scores on either side of the threshold, one rounding apart, and on it."""
    exact = np.float32(above)
    scores = np.array([np.nextafter(exact, np.float32(0)), exact, np.nextafter(exact, np.float32(1))], np.float32)
    record = Rejection(output="s", above=above, unit="log-odds" if squash else "score")
    score = Score("s", Declared("s", above), "s", float(exact), record)
    assert (score.of_file(torch.from_numpy(scores)[:, None]) > 0).tolist() == [False, False, True]
    ends = score.of_file(torch.tensor([[0.0], [1.0], [float("nan")]]))
    assert ends[:2].isfinite().all()
    assert ends[2].isnan()


def test_one_run_of_the_file_gives_both(detector, monkeypatch):
    model = load_onnx(detector(FORMS["(N, 1)"][0]), reject_output="score", reject_above=0.3)
    calls = []
    real = model._deployed._once
    monkeypatch.setattr(model._deployed, "_once", lambda x, names: calls.append(names) or real(x, names))
    model.with_rejection(X)
    assert calls == [["y", "score"]]


def test_both_answers_rest_on_one_draw(save):
    nodes = [
        ("RandomNormalLike", ["x"], ["noise"]),
        ("Add", ["x", "noise"], ["y"]),
        ("ReduceSum", ["noise", "axis"], ["score"], {"keepdims": 1}),
    ]
    path = save(nodes, {"axis": np.array([1])}, ["N", 6], outputs=("y", "score"), kinds=(FLOAT, FLOAT))
    model = load_onnx(path, reject_output="score", reject_above=0.0)
    x = torch.rand(9, 6)
    for logits, excess in (model.with_rejection(x), model.differentiable_rejection("exact")(x)):
        torch.testing.assert_close((logits - x).sum(dim=1), excess, atol=1e-4, rtol=1e-4)
    assert model.info.twin.available
    assert model.info.random_operators == ("RandomNormalLike",)


def test_noise_in_the_detector_alone_makes_the_model_random(detector):
    tail = [("RandomNormalLike", ["z"], ["n"]), ("Add", ["z", "n"], ["score"])]
    model = load_onnx(detector(tail), reject_output="score", reject_above=0.3)
    assert model.info.random_operators == ("RandomNormalLike",)
    assert not torch.equal(model.with_rejection(X)[1], model.with_rejection(X)[1])


def test_the_rejection_output_is_never_the_class(detector):
    """Listed first and in whole numbers, a score looks like a label."""
    tail = [("Round", ["z"], ["r1"]), ("Cast", ["r1"], ["score"], {"to": INT64})]
    path = detector(tail, INT64, outputs=("score", "y"))
    model = load_onnx(path, reject_output="score", reject_above=0.5)
    np.testing.assert_allclose(model.logits(X), answers(path, X)[0], atol=1e-5)


def test_labels_and_probabilities_beside_a_score(save, weights):
    nodes = [
        ("MatMul", ["x", "w"], ["z"]),
        ("Softmax", ["z"], ["y"], {"axis": 1}),
        ("ReduceMax", ["y"], ["m"], {"axes": [1], "keepdims": 0}),
        ("Neg", ["m"], ["score"]),
    ]
    path = save(nodes, {"w": weights(12, 5, scale=1.0)}, ["N", 12], outputs=("score", "y"), kinds=(FLOAT, FLOAT))
    model = load_onnx(path, reject_output="score", reject_above=-0.5)
    y, score = answers(path, X)
    logits, excess = model.differentiable_rejection()(X)
    assert model.info.twin.tap == "Softmax"
    np.testing.assert_allclose(torch.softmax(logits, 1), y, atol=1e-6)
    np.testing.assert_allclose(excess, score + 0.5, atol=1e-6)


def test_a_score_that_mixes_samples_is_asked_one_by_one(detector):
    tail = [("ReduceMean", ["z"], ["m"], {"axes": [0], "keepdims": 1}), ("Sub", ["z", "m"], ["c"])]
    tail += [("Add", ["c", "z"], ["score"])]
    model = load_onnx(detector(tail), reject_output="score", reject_above=0.3)
    assert model.info.batch == 1
    whole = model.with_rejection(X)[1]
    assert torch.equal(whole, torch.cat([model.with_rejection(one)[1] for one in X.split(1)]))


def test_an_operator_that_only_the_score_needs_closes_the_twin(detector):
    tail = [("HannWindow", ["five"], ["hann"]), ("ReduceSum", ["hann"], ["sum"], {"keepdims": 0})]
    tail += [("Mul", ["z", "sum"], ["score"])]
    path = detector(tail, five=np.int64(5))
    assert load_onnx(path).differentiable() is not None
    model = load_onnx(path, reject_output="score", reject_above=0.3)
    assert "HannWindow" in model.info.twin.reason
    assert model.differentiable() is None
    assert model.differentiable_rejection() is None
    assert model.with_rejection(X)[1].shape == (24,)


def test_a_twin_whose_score_is_off_is_closed(detector, monkeypatch):
    real = Score.of_twin
    monkeypatch.setattr(Score, "of_twin", lambda self, score: 1.001 * real(self, score))
    model = load_onnx(detector(FORMS["(N, 1)"][0]), reject_output="score", reject_above=0.3)
    assert not model.info.twin.available
    assert "rejection score 'score' differs" in model.info.twin.reason
    assert model.differentiable_rejection() is None


def test_an_undeclared_score_is_pointed_out(detector):
    for form, expected in (("(N, 1)", True), ("flag", True), ("flag as numbers", True), ("count", False)):
        tail, kind, *_ = FORMS[form]
        used = {name for node in tail for name in node[1]}
        model = load_onnx(detector(tail, kind, **{k: v for k, v in CONSTANTS.items() if k in used}))
        assert not isinstance(model, RejectingClassifier)
        assert any("--reject-output score" in note for note in model.info.notes) == expected, form
    declared = load_onnx(detector(FORMS["(N, 1)"][0]), reject_output="score", reject_above=0.3)
    assert not any("--reject-output" in note for note in declared.info.notes)


@pytest.mark.parametrize(
    ("output", "above", "words"),
    [
        ("scor", 0.3, ["'score'", "did you mean", "'y' (1, 5)"]),
        ("y", 0.3, ["'y' (1, 5)", "'score' (1, 1)", "one number per sample"]),
        ("score", None, ["--reject-above"]),
        (None, 0.3, ["--reject-output"]),
        ("score", float("nan"), ["finite"]),
        ("score", float("inf"), ["finite"]),
        ("score", "0.3", ["finite"]),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(detector, output, above, words):
    with pytest.raises(UsageError) as caught:
        load_onnx(detector(FORMS["(N, 1)"][0]), reject_output=output, reject_above=above)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_other_outputs_are_refused(detector):
    path = detector([("ReduceMean", ["z"], ["score"], {"keepdims": 0})])
    with pytest.raises(UsageError, match=r"'score' \(\)"):
        load_onnx(path, reject_output="score", reject_above=0.3)
    path = detector(FORMS["flag"][0], BOOL, limit=np.float32(0.3))
    for above, word in ((1.0, "nothing"), (-0.5, "everything")):
        with pytest.raises(UsageError, match=word):
            load_onnx(path, reject_output="score", reject_above=above)
    with pytest.raises(ModelError, match="nothing says the class"):
        load_onnx(detector(FORMS["(N, 1)"][0], outputs=("score",)), reject_output="score", reject_above=1.0)


@pytest.mark.parametrize("batch", ["N", 1])
def test_features_are_what_the_last_layer_takes(detector, batch):
    path = detector(FORMS["(N, 1)"][0], batch=batch, outputs=("y", "score", "r"))
    model = load_onnx(path, reject_output="score", reject_above=0.3)
    session = onnxruntime.InferenceSession(str(path))
    expected = np.concatenate([session.run(["r"], {"x": one.numpy()})[0] for one in X.split(1)])
    for kind in ("exact", "bpda"):
        x = X.clone().requires_grad_()
        found = model.features(kind)(x)
        np.testing.assert_allclose(found.detach(), expected, atol=1e-5)
        assert torch.autograd.grad(found.sum(), x)[0].abs().sum() > 0


def test_features_end_where_the_head_is_no_product(save, weights):
    nodes = [("Conv", ["x", "w"], ["c"]), ("GlobalAveragePool", ["c"], ["y"])]
    model = load_onnx(save(nodes, {"w": weights(4, 3, 3, 3)}, ["N", 3, 5, 5]))
    assert model.features() is None
    nodes = [("MatMul", ["x", "w"], ["a"]), ("Relu", ["a"], ["y"])]
    assert load_onnx(save(nodes, {"w": weights(12, 5)}, ["N", 12])).features() is None
    nodes = [("MatMul", ["x", "w"], ["a"]), ("Tanh", ["a"], ["h"]), ("MatMul", ["h", "v"], ["b"])]
    nodes += [("Add", ["b", "c"], ["d"]), ("Div", ["d", "t"], ["l"]), ("Softmax", ["l"], ["y"])]
    values = {"w": weights(12, 7), "v": weights(7, 5), "c": weights(5), "t": np.float32(2)}
    model = load_onnx(save(nodes, values, ["N", 12]))
    torch.testing.assert_close(model.features()(X), torch.tanh(X @ torch.from_numpy(values["w"])))


def test_the_gradient_check_sees_the_classes_alone(detector):
    model = load_onnx(detector(FORMS["(N, 1)"][0]), reject_output="score", reject_above=0.3)
    assert isinstance(model, RejectingOnnxClassifier)
    twin = model.double()(X.double())
    assert (twin.dtype, twin.shape) == (torch.float64, (24, 5))
    torch.testing.assert_close(twin.float(), model.logits(X), atol=1e-5, rtol=1e-5)
