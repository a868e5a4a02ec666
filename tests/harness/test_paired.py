"""The interval for a difference on the same samples: exact coverage over the trinomial law, with Tango's beside it."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from robcheck.harness.paired import paired_difference
from robcheck.harness.statistics import clopper_pearson


@cache
def interval(won: int, lost: int, n: int) -> tuple[float, float]:
    return paired_difference([1.0] * won + [-1.0] * lost + [0.0] * (n - won - lost))


def tango(won: int, lost: int, n: int) -> tuple[float, float]:
    """Tango 1998: where the score statistic for a difference d is 1.96, the nuisance at its restricted maximum."""

    def score(d: float) -> float:
        b = -won - lost + (2 * n - won + lost) * d
        q = (math.sqrt(b * b + 8 * n * lost * d * (1 - d)) - b) / (4 * n)
        return (won - lost - n * d) / math.sqrt(n * (2 * q + d * (1 - d)))

    z, middle, edge = stats.norm.ppf(0.975), (won - lost) / n, 1 - 1e-9
    return (
        optimize.brentq(lambda d: score(d) - z, -edge, middle),
        optimize.brentq(lambda d: score(d) + z, middle, edge),
    )


def misses(gain: float, loss: float, n: int) -> tuple[float, float]:
    """How often the true difference lies below the interval, and above it; exact."""
    below = above = 0.0
    for won in range(n + 1):
        for lost in range(n - won + 1):
            chance = float(stats.multinomial.pmf([won, lost, n - won - lost], n, [gain, loss, 1 - gain - loss]))
            if chance > 1e-6:
                low, high = interval(won, lost, n)
                below += chance * (gain - loss < low - 1e-9)
                above += chance * (gain - loss > high + 1e-9)
    return below, above


def test_it_covers_where_tangos_falls_short() -> None:
    assert max(misses(0.05, 0.01, 30)) <= 0.025
    # Exact sums over the same law, at n = 100: 5.0 % below where 2.5 % are promised.
    fallen = 0.0
    for won in range(20):
        for lost in range(8):
            chance = float(stats.multinomial.pmf([won, lost, 100 - won - lost], 100, [0.05, 0.01, 0.94]))
            if won > lost:
                fallen += chance * (tango(won, lost, 100)[0] > 0.04)
    assert fallen > 0.045


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50])
@pytest.mark.parametrize(
    ("gain", "loss"), [(0.02, 0.02), (0.05, 0.01), (0.1, 0.1), (0.3, 0.1), (0.1, 0.0), (0.01, 0.2)]
)
def test_it_covers(n: int, gain: float, loss: float) -> None:
    assert max(misses(gain, loss, n)) <= 0.025 + 1e-3


@pytest.mark.parametrize(("won", "lost", "n"), [(10, 30, 1000), (40, 20, 400), (100, 50, 500)])
def test_it_is_nearly_tangos_where_much_changes(won: int, lost: int, n: int) -> None:
    low, high = interval(won, lost, n)
    least, most = tango(won, lost, n)
    width = most - least
    assert (low, high) == pytest.approx((least, most), abs=0.1 * width)
    assert high - low >= 0.98 * width


def test_nothing_changed_is_no_certainty() -> None:
    low, high = paired_difference([0.0] * 200)
    assert low == pytest.approx(-high, abs=1e-3)
    # One pseudo-sample of the largest change among 200: 1 - 0.025 ** (1 / 200).
    assert high == pytest.approx(1 - 0.025 ** (1 / 200), abs=2e-3)


def test_everything_changed_is_clopper_pearson() -> None:
    low, high = paired_difference([1.0] * 30 + [-1.0] * 10)
    exact = clopper_pearson(30, 40)
    assert ((low + 1) / 2, (high + 1) / 2) == pytest.approx(exact, abs=0.015)


@settings(max_examples=20, deadline=None)
@given(differences=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=30))
def test_turned_round_it_turns_round(differences: list[float]) -> None:
    low, high = paired_difference(differences)
    assert -1 <= low <= np.mean(differences) + 1e-9
    assert np.mean(differences) - 1e-9 <= high <= 1
    back = paired_difference([-d for d in differences])
    assert (low, high) == pytest.approx((-back[1], -back[0]), abs=0.03)


def test_unknown_samples_widen_both_ends() -> None:
    known = paired_difference([0.0] * 90)
    wide = paired_difference([0.0] * 90 + [-1.0] * 10, [0.0] * 90 + [1.0] * 10)
    assert wide[0] < known[0] - 0.05
    assert wide[1] > known[1] + 0.05
    with pytest.raises(ValueError, match="no mean"):
        paired_difference([1.5])
