"""Fixtures: each raises its finding, nothing severe that was not declared, and falls as its undefended sibling does.

`python tests/benchmarks/fixtures.py` prints the whole table.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import robcheck
from robcheck.adapters import load_model, load_product
from robcheck.adapters.data.digits import digits
from robcheck.adapters.fixtures import FIXTURES, bare
from robcheck.adapters.fixtures.linear import lead, linear
from robcheck.catalogue import catalogue
from robcheck.harness.diagnosis.limits import LIMITS
from robcheck.harness.errors import UsageError
from robcheck.suites import Suite


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parent / "benchmarks" / "fixtures.py"
    spec = importlib.util.spec_from_file_location("fixtures_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sibling(benchmark: ModuleType) -> Any:
    return benchmark.undefended()


@pytest.mark.slow
def test_the_sibling_falls_and_raises_nothing(sibling: Any, benchmark: ModuleType) -> None:
    assert sibling.clean_accuracy > 0.9
    assert sibling.robust_accuracy < 0.05
    assert benchmark.severe(sibling) == set()


IN_CI = ("logits-x100", "quantiser", "softmax", "reject-all")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in IN_CI else pytest.mark.proof) for n in FIXTURES]
)
def test_a_fixture_raises_what_it_declares_and_falls_like_its_sibling(
    name: str, sibling: Any, benchmark: ModuleType
) -> None:
    declared, row = FIXTURES[name], benchmark.measured(name, sibling)
    assert set(declared.raises) <= set(benchmark.codes(row.plan))
    assert benchmark.severe(row.plan) <= {*declared.raises, *declared.severe}
    if row.weak is not None:
        assert set(declared.told) <= set(benchmark.codes(row.weak))
        # A number that flatters does not stand unchallenged.
        assert benchmark.severe(row.weak)
    if declared.within is not None:
        assert row.plan.clean_accuracy > 0.8
        assert row.gap <= declared.within


def test_every_fixture_declares_codes_that_there_are_and_attacks_that_a_suite_may_have() -> None:
    for name, declared in FIXTURES.items():
        assert {*declared.raises, *declared.severe, *declared.told} <= set(LIMITS), name
        assert declared.raises or declared.told, name
        assert bool(declared.weak) == bool(declared.told), name
        if declared.weak:
            Suite.model_validate({"name": name, "attacks": [dict(attack) for attack in declared.weak]})


def test_fixtures_are_listed_and_loaded_by_name() -> None:
    assert catalogue("fixtures").row_count == len(FIXTURES)
    assert load_product("fixture:wrong-range").classifier.info.name == "fixture:wrong-range"
    with pytest.raises(UsageError, match="did you mean 'rounding'"):
        load_product("fixture:roundin")
    with pytest.raises(UsageError, match="load_product"):
        load_model("fixture:rounding")
    with pytest.raises(UsageError, match="leave --weights away"):
        load_product("fixture:rounding", weights="w.pt")


def test_the_sibling_is_the_same_every_time_and_leaves_torch_alone() -> None:
    before = torch.get_rng_state()
    x = torch.from_numpy(digits("test")[0][:8])
    assert torch.equal(bare().classifier.logits(x), bare().classifier.logits(x))
    assert torch.equal(before, torch.get_rng_state())


def test_of_the_linear_fixture_it_is_known_exactly_which_samples_fall() -> None:
    """The corner of the ball that is worst for each class, tried one by one, agrees with the closed form."""
    x, y = (torch.from_numpy(part)[:30] for part in digits("test"))
    classifier, eps = linear().classifier, 0.05
    weight = torch.autograd.functional.jacobian(lambda p: classifier.differentiable()(p), x[:1]).reshape(10, -1)
    worst = torch.full((30,), torch.inf)
    for j in range(10):
        corner = (x - eps * (weight[y] - weight[j]).sign().reshape(x.shape)).clamp(0, 1)
        logits = classifier.logits(corner)
        margin = (logits.gather(1, y[:, None]) - logits[:, j : j + 1]).squeeze(1)
        worst = torch.where(y == j, worst, worst.minimum(margin))
    left = lead(x, y, eps)
    torch.testing.assert_close(left.float(), worst, rtol=1e-3, atol=1e-3)
    assert 5 < int((left > 0).sum()) < 28
    suite = Suite.model_validate(
        {"name": "t", "attacks": [{"attack": "pgd", "loss": "dlr", "targets": 9, "steps": 10}]}
    )
    result = robcheck.evaluate(linear(), x, y, suite=suite, epsilon=eps, device="cpu", controls="none")
    assert [s.outcome == "survived" for s in result.samples] == (left > 0).tolist()
