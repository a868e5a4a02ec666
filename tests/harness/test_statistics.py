"""Counts of draws by brute force; intervals against scipy's and against the coverage that they promise."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robcheck.harness.statistics import bootstrap, clopper_pearson, expectation, holm, majority, mcnemar, worst_of


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), share=st.floats(0, 1), confidence=st.floats(0.51, 0.999))
def test_agrees_with_scipy(n: int, share: float, confidence: float) -> None:
    k = round(share * n)
    expected = stats.binomtest(k, n).proportion_ci(confidence_level=confidence, method="exact")
    assert clopper_pearson(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("n", [5, 20, 60])
@pytest.mark.parametrize("p", [0.03, 0.3, 0.5, 0.9])
def test_covers_as_often_as_it_says(n: int, p: float) -> None:
    covered = 0.0
    for k in range(n + 1):
        low, high = clopper_pearson(k, n, 0.9)
        covered += float(stats.binom.pmf(k, n, p)) * (low <= p <= high)
    assert covered >= 0.9
    if p in (0.3, 0.5) and n == 60:
        assert covered < 0.97


def test_ends() -> None:
    assert clopper_pearson(0, 10)[0] == 0.0
    assert clopper_pearson(10, 10)[1] == 1.0
    assert clopper_pearson(0, 10)[1] == pytest.approx(1 - 0.025 ** (1 / 10))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 50), share=st.floats(1e-4, 1))
def test_fractions_lie_between_whole_numbers(n: int, share: float) -> None:
    k = share * n
    low, high = clopper_pearson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    below, above = clopper_pearson(int(k), n), clopper_pearson(min(n, int(k) + 1), n)
    assert below[0] - 1e-9 <= low <= above[0] + 1e-9
    assert below[1] - 1e-9 <= high <= above[1] + 1e-9


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 5), (6, 5), (0.0, -1), (float("nan"), 5)])
def test_what_is_no_proportion(k: float, n: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        clopper_pearson(k, n)


def test_mcnemar_on_the_approval_of_a_president() -> None:
    """Agresti, Categorical Data Analysis: 794 approve twice, 570 never, 150 no longer, 86 newly; z^2 = 17.36 there."""
    assert mcnemar(150, 86) == mcnemar(86, 150) == pytest.approx(stats.binomtest(86, 236).pvalue)
    assert mcnemar(150, 86) == pytest.approx(3.716e-05, rel=1e-3)
    assert stats.chi2.isf(mcnemar(150, 86), 1) == pytest.approx(17.36, abs=0.5)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 1), (0, 5), (1, 7), (6, 6), (3, 4)])
def test_mcnemar_by_all_ways_to_fall(one: int, other: int) -> None:
    n = one + other
    as_far = sum(abs(2 * sum(way) - n) >= abs(one - other) for way in itertools.product((0, 1), repeat=n))
    assert mcnemar(one, other) == pytest.approx(as_far / 2**n)
    with pytest.raises(ValueError, match="no counts"):
        mcnemar(-1, other)


def test_holm_on_a_worked_example() -> None:
    """The four p-values of the usual textbook example; at 5 % only the two smallest are rejected."""
    found = holm({"H1": 0.01, "H2": 0.04, "H3": 0.03, "H4": 0.005})
    assert found == pytest.approx({"H1": 0.03, "H2": 0.06, "H3": 0.06, "H4": 0.02})
    assert holm({}) == {}
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


@settings(max_examples=50, deadline=None)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8), level=st.floats(0.001, 0.5))
def test_holm_rejects_what_the_procedure_rejects(p: list[float], level: float) -> None:
    """Step down through the sorted values until one exceeds level / (those that are left)."""
    rejected, left = set(), sorted(range(len(p)), key=lambda i: p[i])
    while left and p[left[0]] * len(left) <= level:
        rejected.add(left.pop(0))
    adjusted = holm({str(i): value for i, value in enumerate(p)})
    assert {i for i in range(len(p)) if adjusted[str(i)] <= level} == rejected


def brute_worst(tries: int, right: int, draws: int) -> float:
    """Over all ways to pick `tries` of the draws, how often all of them are right."""
    picks = list(itertools.combinations(range(draws), tries))
    return sum(all(i < right for i in pick) for pick in picks) / len(picks)


@pytest.mark.parametrize("draws", [1, 4, 7])
def test_worst_of_n_by_brute_force(draws: int) -> None:
    for tries in range(1, draws + 1):
        expected = [brute_worst(tries, right, draws) for right in range(draws + 1)]
        assert worst_of(tries, range(draws + 1), draws) == pytest.approx(expected)
    assert worst_of(10 * draws, range(draws + 1), draws).tolist() == [0.0] * draws + [1.0]


def test_worst_of_n_against_the_hypergeometric_law() -> None:
    right = np.arange(101)
    for tries in (1, 10, 100):
        expected = stats.hypergeom.pmf(tries, 100, right, tries)
        assert worst_of(tries, right, 100) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("p", [0.3, 0.95, 1.0])
@pytest.mark.parametrize("tries", [1, 3, 10])
def test_worst_of_n_is_unbiased(p: float, tries: int) -> None:
    chance = stats.binom.pmf(np.arange(13), 12, p)
    assert chance @ worst_of(tries, range(13), 12) == pytest.approx(p**tries)


def test_expectation_and_majority() -> None:
    assert expectation([0, 1, 3, 4], 4).tolist() == [0.0, 0.25, 0.75, 1.0]
    assert majority([0, 1, 2, 3, 4], 4).tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert majority([2, 3], 5).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("right", "draws"), [([-1], 4), ([5], 4), ([0.5], 4), ([0], 0), ([float("nan")], 4)])
def test_what_is_no_count(right: list[float], draws: int) -> None:
    for values in (expectation, majority, lambda r, d: worst_of(1, r, d)):
        with pytest.raises(ValueError, match="counts of right answers"):
            values(right, draws)
    with pytest.raises(ValueError, match="worst of 0"):
        worst_of(0, [1], 4)


@pytest.mark.parametrize(("k", "n"), [(3, 3), (0, 3), (1, 1), (90, 100), (1, 40), (499, 500)])
def test_of_zeros_and_ones_the_bootstrap_is_clopper_pearson(k: int, n: int) -> None:
    """Beta variates are sums of weights, so both rest on the same law."""
    for confidence in (0.8, 0.95):
        low, high = bootstrap([1.0] * k + [0.0] * (n - k), confidence)
        exact = clopper_pearson(k, n, confidence)
        assert (low, high) == pytest.approx(exact, abs=0.06 * (exact[1] - exact[0]))
        assert (low == 0.0) == (k == 0)
        assert (high == 1.0) == (k == n)


@pytest.mark.parametrize("value", [0.0, 0.2, 0.99, 1.0])
def test_one_sample_in_closed_form(value: float) -> None:
    """Its weight is uniform, and the rest is the pseudo-sample's."""
    low, high = bootstrap([value], 0.9)
    assert low == pytest.approx(0.05 * value, abs=0.01)
    assert high == pytest.approx(1 - 0.05 * (1 - value), abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("n", [3, 100])
def test_equal_rates_are_no_certainty(value: float, n: int) -> None:
    low, high = bootstrap([value] * n)
    assert high - low > 1 / n
    assert low <= value <= high


def test_rates_are_narrower_than_answers_of_the_same_mean() -> None:
    rates = np.random.default_rng(0).beta(4, 2, 1000)
    low, high = bootstrap(rates)
    exact = clopper_pearson(float(rates.sum()), 1000)
    assert exact[0] < low < rates.mean() < high < exact[1]
    normal = 1.96 * rates.std() / math.sqrt(1000)
    assert 1.0 < (high - low) / (2 * normal) < 1.1


def test_the_bootstrap_is_the_same_every_time_and_in_any_order() -> None:
    rates = np.random.default_rng(0).binomial(100, 0.7, 50) / 100
    assert bootstrap(rates) == bootstrap(rates[::-1]) == bootstrap(rates.tolist())
    state = np.random.get_state()[1].copy()
    bootstrap(rates)
    assert (np.random.get_state()[1] == state).all()


def test_what_is_unknown_widens_both_ends() -> None:
    low, high = bootstrap([1.0] * 95, unknown=5)
    assert low == pytest.approx(clopper_pearson(95, 100)[0], abs=0.01)
    assert high == 1.0
    low, high = bootstrap([0.0] * 20, unknown=10)
    assert low == 0.0
    assert high == pytest.approx(clopper_pearson(10, 30)[1], abs=0.02)
    assert bootstrap([], unknown=4) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[], [-0.1], [1.1], [float("nan")]])
def test_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="no mean"):
        bootstrap(values)


Law = Callable[[np.random.Generator, int], Any]


def mixed(share: float, rate: float, a: float, b: float) -> Law:
    """A share of the samples at one rate, the others at rates around a / (a + b)."""
    return lambda g, n: np.where(g.random(n) < share, rate, g.beta(a, b, n))


LAWS: dict[str, tuple[Law, float]] = {
    "right or wrong": (mixed(0.9, 1.0, 1e-9, 1), 0.9),
    "all alike, nearly always right": (lambda g, n: np.full(n, 0.99), 0.99),  # noqa: ARG005
    "spread": (lambda g, n: g.beta(2, 2, n), 0.5),
    "mostly right": (lambda g, n: g.beta(20, 1, n), 20 / 21),
    "mostly wrong": (lambda g, n: g.beta(1, 20, n), 1 / 21),
    "a few broken": (mixed(0.05, 0.0, 50, 1), 0.95 * 50 / 51),
    "a few standing": (mixed(0.03, 1.0, 1, 50), 0.03 + 0.97 / 51),
    "either end": (lambda g, n: g.beta(0.2, 0.2, n), 0.5),
}


def misses(law: Law, mean: float, n: int, times: int, resamples: int) -> tuple[float, float]:
    """How often the mean lies below the interval, and above it; every rate is seen through 100 draws."""
    generator, below, above = np.random.default_rng(1), 0, 0
    for _ in range(times):
        seen = generator.binomial(100, np.clip(law(generator, n), 0, 1)) / 100
        low, high = bootstrap(seen, resamples=resamples)
        below, above = below + (mean < low), above + (mean > high)
    return below / times, above / times


@pytest.mark.parametrize(
    ("name", "n", "times"),
    [("right or wrong", 20, 400), ("all alike, nearly always right", 500, 800), ("mostly wrong", 100, 200)],
)
def test_the_bootstrap_covers(name: str, n: int, times: int) -> None:
    """Each end misses no more often than it may, where the plain bootstrap falls short."""
    law, mean = LAWS[name]
    limit = 0.025 + 3 * math.sqrt(0.025 * 0.975 / times)
    assert max(misses(law, mean, n, times, 1000)) <= limit


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 100, 500])
@pytest.mark.parametrize("name", LAWS)
def test_the_bootstrap_covers_everywhere(name: str, n: int) -> None:
    law, mean = LAWS[name]
    assert max(misses(law, mean, n, 1000, 1500)) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 1000)
