"""Intervals against scipy's and against the coverage that they promise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robcheck.harness.statistics import clopper_pearson


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
