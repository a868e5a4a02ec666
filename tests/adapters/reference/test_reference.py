"""The reference products: who is trained on what, how a name becomes a product, and what a sibling shares with it."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robcheck.adapters.data.digits import digits
from robcheck.adapters.reference import REFERENCES, load_reference, products, reference, sibling
from robcheck.adapters.reference.samples import spare, training
from robcheck.harness.decision import Goal
from robcheck.harness.errors import DeviceError, UsageError
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream

X, Y = map(torch.from_numpy, digits("test"))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch of everything."""
    quick = {name: replace(recipe, epochs=1) for name, recipe in REFERENCES.items()}
    monkeypatch.setattr(products, "REFERENCES", quick)
    monkeypatch.setattr("robcheck.adapters.reference.front._DECODER_EPOCHS", 1)
    monkeypatch.setattr("robcheck.adapters.reference.behind._EPOCHS", 1)


def answers(pipeline: Pipeline, x: Tensor = X[:40]) -> Tensor:
    return pipeline.decide(x, Stream.create(0, "t", torch.arange(len(x)))).logits


def test_nobody_is_trained_on_what_is_tested() -> None:
    parts = {
        name: {tuple(row) for row in part.flatten(1).tolist()}
        for name, part in (("training", training()[0]), ("spare", spare()[0]), ("test", X))
    }
    assert len(training()[0]) == 1048
    assert len(spare()[0]) == 209
    assert not parts["training"] & parts["spare"]
    assert not parts["training"] & parts["test"]
    assert not parts["spare"] & parts["test"]
    assert set(spare()[1].tolist()) == set(range(10))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", REFERENCES)
def test_every_product_can_be_made(name: str) -> None:
    torch.manual_seed(1)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    told: list[int] = []
    product = reference(name, progress=told.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert sum(told) >= 1
    assert answers(product).shape == (40, 10)
    assert answers(product).isfinite().all()
    assert product.classifier.info.name == f"reference:{name}"
    assert product.random == (
        name
        in {
            "total-variation",
            "resize-pad",
            "random-crop",
            "gaussian-noise",
            "dropout",
            "adversarial-transformation",
            "manifold",
        }
    )
    assert product.rejects == (name == "detector")
    assert str(product.rule) == ("mean:30" if name == "random-crop" else "single")
    assert product.no_gradient == ""


@pytest.mark.usefixtures("short")
def test_the_same_again_and_another_seed() -> None:
    torch.manual_seed(5)
    one = reference("bit-depth")
    torch.manual_seed(6)
    two, other = reference("bit-depth"), reference("bit-depth", seed=1)
    assert torch.equal(answers(one), answers(two))
    assert not torch.equal(answers(one), answers(other))
    assert one.classifier.info.sha256 == two.classifier.info.sha256 != other.classifier.info.sha256


@pytest.mark.usefixtures("short")
def test_a_sibling_is_the_same_network_without_the_defense() -> None:
    bare = sibling("detector")
    assert bare.defenses == []
    assert not bare.rejects
    assert str(bare.rule) == "single"
    # The detector stands behind the network and changes nothing in it.
    assert torch.equal(answers(reference("detector")), answers(bare))
    assert bare.classifier.info.sha256 == sibling("bit-depth").classifier.info.sha256
    assert bare.classifier.info.name == "reference:detector/undefended"
    assert load_reference("detector/undefended").classifier.info.sha256 == bare.classifier.info.sha256


@pytest.mark.usefixtures("short")
def test_the_detector_rejects_the_share_that_it_says_of_images_that_nothing_was_trained_on() -> None:
    product = reference("detector")
    held, _ = spare()
    on_spare = product.decide(held, Stream.create(0, "t", torch.arange(len(held))))
    assert int((~on_spare.accepted).sum()) == int(0.05 * len(held))


def test_a_typo_finds_its_nearest_name() -> None:
    for name, nearest in (("kwta", "k-wta"), ("bit-deph", "bit-depth"), ("k-wtaa/undefended", "k-wta")):
        with pytest.raises(UsageError, match=re.escape(f"did you mean '{nearest}'")):
            load_reference(name)
    with pytest.raises(UsageError, match="there are: bit-depth, "):
        reference("nothing-like-it")
    with pytest.raises(DeviceError):
        load_reference("jpeg", "tpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_clean_accuracy(name: str) -> None:
    product = reference(name)
    decision = product.decide(X, Stream.create(0, "t", torch.arange(len(X))))
    assert Goal(Y).right(decision).float().mean() > 0.9
