"""The record of a random target against counts made by hand."""

import pytest
from scipy import stats

from robcheck.harness.statistics import clopper_pearson
from robcheck.harness.stochastic import stochastic_record


def test_three_counts_of_the_same_draws() -> None:
    record = stochastic_record(
        [1.0, 1.0, 0.99, 0.5], [0.99, 0.51, 0.5, 0.0], samples=4, draws=100, rule="mean:5", confidence=0.9
    )
    clean, robust = record.clean, record.robust
    assert (record.rule, record.draws, record.samples, record.confidence) == ("mean:5", 100, 4, 0.9)
    assert clean.expectation.value == pytest.approx(3.49 / 4)
    assert clean.majority.value == 0.75
    assert robust.expectation.value == pytest.approx(0.5)
    assert robust.majority.value == 0.5
    assert robust.worst_of_10.value == pytest.approx(stats.hypergeom.pmf(10, 100, [99, 51, 50, 0], 10).mean())
    assert clean.worst_of_100.value == 0.5
    assert robust.worst_of_100.value == 0.0
    for counted in (clean, robust):
        assert counted.worst_of_1 == counted.expectation
        for found in counted.model_dump().values():
            low, high = found["interval"]
            assert 0 <= low <= found["value"] <= high <= 1
            assert high - low > 0.1


def test_rates_are_counts_again() -> None:
    """The rates are quotients in binary; the counts behind them are whole."""
    rates = [s / 100 for s in range(101)]
    record = stochastic_record(rates, rates, samples=101, draws=100, rule="single", confidence=0.95)
    assert record.clean.expectation.value == pytest.approx(0.5)
    assert record.clean.majority.value == pytest.approx(50 / 101)


def test_missing_samples_count_against_both_ends() -> None:
    record = stochastic_record([1.0] * 10, [1.0] * 6, samples=10, draws=100, rule="single", confidence=0.95)
    assert record.robust.majority.value == 1.0
    assert record.robust.majority.interval == pytest.approx((clopper_pearson(6, 10)[0], 1.0), abs=0.02)
    nothing = stochastic_record([], [], samples=3, draws=100, rule="single", confidence=0.95)
    assert nothing.robust.expectation.interval == (0.0, 1.0)
