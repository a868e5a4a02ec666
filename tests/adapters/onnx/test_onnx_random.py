"""Graphs that draw random numbers: fresh draws that nobody else's generator feels, compared in distribution."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.drawn import apart
from robcheck.adapters.onnx.facts.randomness import random_operators
from robcheck.adapters.onnx.translator.translate import translate

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def draws(forward, x, count=200):
    return torch.stack([forward(x).detach() for _ in range(count)]).double()


def noisy(op, *, inputs=("h",), weight="w", **attributes):
    """x -> Gemm -> plus noise -> tanh -> Gemm."""
    return [
        ("Gemm", ["x", weight], ["h"]),
        (op, list(inputs), ["noise"], attributes),
        ("Add", ["h", "noise"], ["n"]),
        ("Tanh", ["n"], ["t"]),
        ("Gemm", ["t", "v"], ["y"]),
    ]


def model_of(path):
    import onnx

    return onnx.load(str(path))


CASES = {
    "normal": noisy("RandomNormal", inputs=(), shape=[1, 5], mean=0.2, scale=0.4),
    "normal-like": noisy("RandomNormalLike", mean=-0.1, scale=0.3),
    "uniform": noisy("RandomUniform", inputs=(), shape=[1, 5], low=-0.4, high=0.9),
    "uniform-like": noisy("RandomUniformLike", low=-0.4, high=0.1, seed=3.0),
}


@pytest.mark.parametrize("name", list(CASES))
def test_noise_has_the_deployed_distribution_and_hides_no_gradient(save, weights, name):
    known = {"w": weights(6, 5), "v": weights(5, 3)}
    classifier = load_onnx(save(CASES[name], known, ["N", 6]))
    info, twin = classifier.info, classifier.differentiable()
    assert twin is not None, info.twin.reason
    assert info.random_operators == (CASES[name][1][0],)
    assert "random" in info.obstacles[CASES[name][1][0]]
    assert info.batch == (None if name.endswith("like") else 1)
    assert info.twin.samples == 4
    x = torch.rand(4, 6)
    assert apart(draws(classifier.logits, x), draws(twin, x)) == 0
    leaf = x.clone().requires_grad_()
    for forward in (twin, classifier.differentiable("bpda")):
        (gradient,) = torch.autograd.grad(forward(leaf).sum(), leaf)
        assert (gradient.abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", list(CASES))
def test_every_sample_has_draws_of_its_own(save, weights, name):
    path = save(CASES[name], {"w": weights(6, 5), "v": weights(5, 3)}, ["N", 6])
    classifier = load_onnx(path)
    same = torch.rand(1, 6).expand(6, 6).contiguous()
    for rows in (classifier.differentiable()(same), classifier.logits(same)):
        assert len({tuple(row.tolist()) for row in rows}) == 6
    assert classifier.translation.strategy == ("direct" if name.endswith("like") else "vmap")


def test_the_global_generator_is_neither_moved_nor_read(save, weights):
    path = save(CASES["normal-like"], {"w": weights(6, 5), "v": weights(5, 3)}, ["N", 6])
    x, answers = torch.rand(3, 6), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        classifier = load_onnx(path)
        answers.append(draws(classifier.differentiable(), x, 3))
        leaf = x.clone().requires_grad_()
        classifier.differentiable("bpda")(leaf).sum().backward()
        classifier.check_parity(x)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*answers)
    assert not torch.equal(answers[0][0], answers[0][1])


def test_the_deployed_forward_is_reproducible_and_draws_anew(save, weights):
    path = save(CASES["normal-like"], {"w": weights(6, 5), "v": weights(5, 3)}, ["N", 6])
    x = torch.rand(3, 6)
    first, second = (draws(load_onnx(path).logits, x, 3) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def dropping(training, ratio):
    """x -> Gemm -> Dropout -> Gemm, where the mask is read so that onnxruntime leaves the Dropout in its place."""
    nodes = [
        ("Gemm", ["x", "w"], ["h"]),
        ("Dropout", ["h", "ratio", "training"], ["d", "mask"]),
        ("Cast", ["mask"], ["kept"], {"to": FLOAT}),
        ("Mul", ["d", "kept"], ["k"]),
        ("Gemm", ["k", "v"], ["y"]),
    ]
    return nodes, {"ratio": np.float32(ratio), "training": np.array(training)}


@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_dropout_in_training_mode(save, weights, ratio):
    nodes, known = dropping(True, ratio)
    classifier = load_onnx(save(nodes, known | {"w": weights(6, 9), "v": weights(9, 3)}, ["N", 6]))
    twin, x = classifier.differentiable(), torch.rand(4, 6)
    assert classifier.info.random_operators == ("Dropout",)
    assert (classifier.info.batch, classifier.translation.strategy) == (1, "vmap")
    assert apart(draws(classifier.logits, x), draws(twin, x)) == 0
    for forward in (twin, classifier.differentiable("bpda")):
        leaf = x.clone().requires_grad_()
        y = forward(leaf)
        (gradient,) = torch.autograd.grad(y.sum(), leaf)
        # without biases the graph is linear in x for a given mask: the gradient is that of the mask that was drawn
        np.testing.assert_allclose((gradient * x).sum(1), y.detach().sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("constants", [False, True])
def test_dropout_that_onnxruntime_removes_draws_nothing(save, weights, run_file, agree, constants):
    known = {"ratio": np.float32(0.5), "training": np.array(True)}
    made = [("Constant", [], [n], {"value": numpy_helper.from_array(np.asarray(v))}) for n, v in known.items()]
    nodes = [("Gemm", ["x", "w"], ["h"]), ("Dropout", ["h", "ratio", "training"], ["d", "mask"])]
    nodes += [("Relu", ["d"], ["r"]), ("Dropout", ["r", "ratio", "training"], ["d2"]), ("Gemm", ["d2", "v"], ["y"])]
    shared = {"w": weights(6, 9), "v": weights(9, 3)}
    path = save([*(made if constants else []), *nodes], shared | ({} if constants else known), ["N", 6])
    classifier = load_onnx(path)
    x = torch.rand(4, 6)
    np.testing.assert_array_equal(run_file(path, x), run_file(path, x))
    assert classifier.info.random_operators == ()
    assert classifier.info.batch is None
    agree(classifier, x, run_file(path, x))


@pytest.mark.parametrize(("training", "ratio"), [(False, 0.5), (True, 0.0)])
def test_dropout_that_drops_nothing_is_not_random(save, weights, run_file, agree, training, ratio):
    nodes, known = dropping(training, ratio)
    path = save(nodes, known | {"w": weights(6, 9), "v": weights(9, 3)}, ["N", 6])
    classifier = load_onnx(path)
    x = torch.rand(4, 6)
    assert classifier.info.random_operators == ()
    assert not classifier.translation.random
    agree(classifier, x, run_file(path, x))


def test_mask_of_dropout(save):
    node = [("Dropout", ["x", "ratio", "training"], ["y", "mask"])]
    path = save(
        node,
        {"ratio": np.float32(0.4), "training": np.array(True)},
        [1, 4000],
        outputs=("y", "mask"),
        kinds=(FLOAT, BOOL),
    )
    x = torch.rand(1, 4000) + 0.5
    y, mask = translate(model_of(path), None, "x", ["y", "mask"]).module.run([x], bpda=False)
    torch.testing.assert_close(y, torch.where(mask, x / 0.6, 0.0))
    assert float(mask.float().mean()) == pytest.approx(0.6, abs=0.05)


def test_bernoulli_has_the_gradient_of_its_expectation(save, weights):
    nodes = [
        ("Gemm", ["x", "w"], ["h"]),
        ("Sigmoid", ["h"], ["p"]),
        ("Bernoulli", ["p"], ["b"], {"dtype": INT}),
        ("Cast", ["b"], ["f"], {"to": FLOAT}),
        ("Gemm", ["f", "v"], ["y"]),
    ]
    known = {"w": weights(6, 9), "v": weights(9, 3)}
    classifier = load_onnx(save(nodes, known, ["N", 6]))
    x = torch.rand(4, 6)
    assert classifier.info.random_operators == ("Bernoulli",)
    assert apart(draws(classifier.logits, x), draws(classifier.differentiable(), x)) == 0
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.differentiable("bpda")(leaf).sum(), leaf)
    own = x.clone().requires_grad_()
    # onnxruntime draws 1 with probability 1 - p
    expected = (1 - torch.sigmoid(own @ torch.from_numpy(known["w"]))) @ torch.from_numpy(known["v"])
    (wanted,) = torch.autograd.grad(expected.sum(), own)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_multinomial_draws_classes(save):
    scores = np.log(np.array([[0.1, 0.6, 0.3]], np.float32))
    nodes = [
        ("Multinomial", ["scores"], ["m"], {"sample_size": 3000, "dtype": INT}),
        ("Cast", ["m"], ["f"], {"to": FLOAT}),
        ("Add", ["x", "f"], ["y"]),
    ]
    path = save(nodes, {"scores": scores}, [1, 3000])
    module = translate(model_of(path), None, "x", "y").module
    found = [module(torch.zeros(1, 3000)) for _ in range(2)]
    share = torch.bincount(found[0].long().reshape(-1), minlength=3) / 3000
    torch.testing.assert_close(share, torch.tensor([0.1, 0.6, 0.3]), atol=0.05, rtol=0)
    assert not torch.equal(*found)


def test_a_twin_with_other_noise_is_closed(save, weights, monkeypatch):
    from robcheck.adapters.onnx.translator.operators import random_draws

    path = save(CASES["normal-like"], {"w": weights(6, 5), "v": weights(5, 3)}, ["N", 6])
    right = random_draws._normal
    monkeypatch.setattr(random_draws, "_normal", lambda node, shape, like=None: 3 * right(node, shape, like))
    classifier = load_onnx(path)
    assert classifier.differentiable() is None
    assert "chance" in classifier.info.twin.reason


def test_random_file_that_takes_one_sample_at_a_time(save, weights):
    nodes = [("Reshape", ["x", "shape"], ["r"]), *CASES["normal-like"]]
    nodes[1] = ("Gemm", ["r", "w"], ["h"])
    path = save(nodes, {"w": weights(6, 5), "v": weights(5, 3), "shape": np.array([1, 6])}, ["N", 6])
    classifier = load_onnx(path)
    assert classifier.info.batch == 1
    assert classifier.translation.strategy == "vmap"
    x = torch.rand(3, 6)
    assert apart(draws(classifier.logits, x), draws(classifier.differentiable(), x)) == 0


def test_random_file_that_mixes_samples_is_found_out(save, weights):
    nodes = [*CASES["normal-like"][:-1], ("ReduceMean", ["t"], ["m"], {"axes": [0]})]
    nodes += [("Sub", ["t", "m"], ["c"]), ("Gemm", ["c", "v"], ["z"]), ("Add", ["z", "z"], ["y"])]
    classifier = load_onnx(save(nodes, {"w": weights(6, 5), "v": weights(5, 3)}, ["N", 6]))
    assert classifier.info.batch == 1


def test_draws_in_a_loop_differ_and_a_dead_branch_draws_nothing(save):
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["c2"]),
            helper.make_node("RandomNormalLike", ["v"], ["noise"]),
            helper.make_node("Identity", ["v"], ["v2"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("c", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c2", BOOL, []),
            helper.make_tensor_value_info("v2", FLOAT, None),
            helper.make_tensor_value_info("noise", FLOAT, None),
        ],
    )
    path = save([("Loop", ["trips", "", "x"], ["z", "y"], {"body": body})], {"trips": np.array(3)}, [1, 2])
    module = translate(model_of(path), None, "x", "y").module
    assert module.random
    assert len(set(module(torch.zeros(1, 2)).reshape(-1).tolist())) == 6
    assert random_operators(model_of(path), "y") == ("RandomNormalLike",)
    value = helper.make_tensor_value_info("o", FLOAT, None)
    then = helper.make_graph([helper.make_node("RandomNormalLike", ["x"], ["o"])], "then", [], [value])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "else", [], [value])
    nodes = [("If", ["no"], ["y"], {"then_branch": then, "else_branch": other})]
    path = save(nodes, {"no": np.array(False)}, ["N", 2])
    assert random_operators(model_of(path), "y") == ()
    assert not translate(model_of(path), None, "x", "y").module.random


def test_noise_on_constants_is_not_frozen(save):
    nodes = [("RandomNormalLike", ["k"], ["noise"]), ("Mul", ["noise", "k"], ["m"]), ("Add", ["x", "m"], ["y"])]
    module = translate(model_of(save(nodes, {"k": np.ones((1, 3), np.float32)}, [1, 3])), None, "x", "y").module
    assert not torch.equal(module(torch.zeros(1, 3)), module(torch.zeros(1, 3)))
