"""The interval that holds at every look: against integration, and its error rates exactly and by simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from robcheck.harness.execution.portions import looks
from robcheck.harness.sequence import log_mixture, sequence
from robcheck.harness.statistics import clopper_pearson

TAIL = 0.025


@pytest.mark.parametrize(
    ("p", "total", "n"), [(0.3, 7, 10), (0.8, 8.5, 10), (0.5, 60, 100), (0.9, 99, 100), (0.4, 3, 20)]
)
def test_the_mixture_is_the_mean_of_likelihood_ratios(p: float, total: float, n: int) -> None:
    def ratio(t: float) -> float:
        return math.exp(total * math.log(t / p) + (n - total) * (math.log1p(-t) - math.log1p(-p)))

    mean = integrate.quad(ratio, p, 1, epsabs=0, epsrel=1e-10, points=[max(p, total / n)])[0] / (1 - p)
    assert log_mixture(p, total, n) == pytest.approx(math.log(mean), abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 400), share=st.just(0.0) | st.floats(1e-4, 1), confidence=st.floats(0.6, 0.999))
def test_the_ends_are_where_the_evidence_is(n: int, share: float, confidence: float) -> None:
    total = share * n
    low, high = sequence(total, n, confidence)
    assert 0 <= low <= total / n <= high <= 1
    limit = -math.log((1 - confidence) / 2)
    if low > 1e-6:
        assert log_mixture(low, total, n) == pytest.approx(limit, abs=1e-3)
        assert log_mixture(low / 2, total, n) > limit
    if high < 1 - 1e-6:
        assert log_mixture(1 - high, n - total, n) == pytest.approx(limit, abs=1e-3)
    exact = clopper_pearson(total, n, confidence)
    assert low <= exact[0] + 1e-9
    assert high >= exact[1] - 1e-9


def test_what_is_unknown_is_for_neither_side() -> None:
    assert sequence(80, 100, unknown=10) == (sequence(80, 100)[0], sequence(90, 100)[1])
    assert sequence(0, 5, unknown=5) == (0.0, 1.0)
    assert sequence(5, 5)[1] == 1.0
    for total, n in ((0, 0), (-1, 5), (6, 5), (float("nan"), 5)):
        with pytest.raises(ValueError, match="no mean"):
            sequence(total, n)


def refuted(p: float, n: int) -> float:
    """The least sum of n values that refutes a mean of at most p."""
    low, high = p * n, float(n)
    if log_mixture(p, high, n) < -math.log(TAIL):
        return math.inf
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if log_mixture(p, middle, n) >= -math.log(TAIL) else (middle, high)
    return high


def crossing(p: float, truth: float, at: list[int]) -> list[float]:
    """By look, the chance that answers of that truth have refuted p by then; exact, by the law of their sum."""
    law, chances, gone = np.zeros(at[-1] + 1), [], 0.0
    law[0] = 1.0
    for n in range(1, at[-1] + 1):
        law[1:] = law[1:] * (1 - truth) + law[:-1] * truth
        law[0] *= 1 - truth
        if n in at:
            out = np.arange(len(law)) >= refuted(p, n)
            gone, law[out] = gone + float(law[out].sum()), 0.0
            chances.append(gone)
    return chances


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_looking_after_every_answer_costs_nothing(p: float) -> None:
    every = list(range(1, 201))
    assert crossing(p, p, every)[-1] <= TAIL
    assert crossing(1 - p, 1 - p, every)[-1] <= TAIL


def test_looking_at_clopper_pearsons_costs_much() -> None:
    """What the sequence is for: an interval of fixed size, looked at as often, is wrong far more often than it says."""
    at, p = looks(1000), 0.8
    generator = np.random.default_rng(0)
    sums = (generator.random((2000, 1000)) < p).cumsum(axis=1)[:, np.array(at) - 1]
    least = [
        min(k for k in range(int(p * n), n + 1) if clopper_pearson(k, n)[0] > p) if n > 20 else math.inf for n in at
    ]
    assert (sums >= np.array(least)).any(axis=1).mean() > 2 * TAIL


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_looking_costs_nothing_anywhere(p: float) -> None:
    assert crossing(p, p, list(range(1, 2001)))[-1] <= TAIL


Law = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
RATES: dict[str, tuple[Law, float]] = {
    "spread": (lambda g, s: g.beta(8, 2, s), 0.8),
    "all alike": (lambda g, s: np.full(s, 0.9), 0.9),  # noqa: ARG005
    "either end": (lambda g, s: g.beta(0.08, 0.02, s), 0.8),
    "mostly wrong": (lambda g, s: g.beta(1, 20, s), 1 / 21),
}


def missed(name: str, streams: int, n: int) -> tuple[float, float]:
    """How often the lower end was above the mean at any look after any sample, and the upper end below it."""
    law, mean = RATES[name]
    values = law(np.random.default_rng(5), (streams, n))
    counts = np.arange(1, n + 1)
    above = np.array([refuted(mean, k) for k in counts])
    below = np.array([refuted(1 - mean, k) for k in counts])
    sums = values.cumsum(axis=1)
    return float((sums >= above).any(axis=1).mean()), float((counts - sums >= below).any(axis=1).mean())


@pytest.mark.parametrize("name", RATES)
def test_rates_miss_no_more_often_than_they_may(name: str) -> None:
    streams = 1500
    assert max(missed(name, streams, 100)) <= TAIL + 3 * math.sqrt(TAIL * (1 - TAIL) / streams)


@pytest.mark.slow
@pytest.mark.parametrize("name", RATES)
def test_rates_miss_no_more_often_than_they_may_for_long(name: str) -> None:
    streams = 10_000
    assert max(missed(name, streams, 1000)) <= TAIL + 3 * math.sqrt(TAIL * (1 - TAIL) / streams)


def expected(truth: float, threshold: float, n: int) -> tuple[float, float]:
    """Of a run that may take n samples: how many it takes on average, and how often it decides for the truth."""
    at = looks(n)
    chances = crossing(threshold, truth, at)
    stopped = np.diff([0.0, *chances])
    return float(stopped @ np.array(at) + (1 - chances[-1]) * n), chances[-1]


@pytest.mark.parametrize(
    ("truth", "threshold", "most", "least"),
    [(0.95, 0.7, 80, 0.999), (0.9, 0.8, 260, 0.999), (0.85, 0.8, 780, 0.7)],
)
def test_it_stops_early_where_the_answer_is_plain(truth: float, threshold: float, most: float, least: float) -> None:
    taken, power = expected(truth, threshold, 1000)
    assert taken <= most
    assert power >= least
