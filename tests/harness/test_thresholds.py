"""Thresholds and curves of detectors, against what counting one by one says."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robcheck.harness.thresholds import area, receiver, rejected, samples_needed, thinned, threshold_for

SCORES = st.lists(st.integers(-6, 6).map(float) | st.floats(-3, 3), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(scores=SCORES, share=st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.29, 0.5, 0.99]))
def test_the_threshold_is_the_smallest_that_rejects_no_more(scores: list[float], share: float) -> None:
    threshold = threshold_for(scores, share)
    most = share * len(scores) + 1e-9
    assert sum(s > threshold for s in scores) <= most
    # Between one score and the next nothing changes, so the scores themselves are all that has to be tried.
    smaller = [s for s in scores if s < threshold]
    assert all(sum(s > t for s in scores) > most for t in smaller)
    assert threshold in scores
    assert rejected(scores, threshold) == sum(s > threshold for s in scores) / len(scores)


@pytest.mark.parametrize(("n", "share", "count"), [(100, 0.01, 1), (100, 0.05, 5), (99, 0.01, 0), (100, 0.29, 29)])
def test_different_scores_are_counted_exactly(n: int, share: float, count: int) -> None:
    scores = np.random.default_rng(0).permutation(n).astype(float)
    assert sum(scores > threshold_for(scores, share)) == count


def test_a_score_that_is_no_number_is_never_rejected() -> None:
    scores = [math.nan] * 90 + [float(i) for i in range(10)]
    assert threshold_for(scores, 0.05) == 4
    assert threshold_for([math.nan] * 3, 0.5) == -math.inf
    assert rejected(scores, -math.inf) == 0.1
    assert receiver([0.0], [math.nan])[1] == (1.0, 0.0)


@pytest.mark.parametrize(("scores", "share"), [([], 0.1), ([1.0], 1.0), ([1.0], -0.1)])
def test_no_threshold_of_nothing(scores: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="no threshold"):
        threshold_for(scores, share)


@pytest.mark.parametrize(("share", "needed"), [(0.01, 100), (0.05, 20), (0.5, 2), (0.3, 4)])
def test_how_many_it_takes(share: float, needed: int) -> None:
    assert samples_needed(share) == needed
    scores = list(range(needed))
    assert sum(s > threshold_for(scores, share) for s in scores) == 1
    assert sum(s > threshold_for(scores[:-1], share) for s in scores[:-1]) == 0


ADVERSARIAL = st.lists(st.integers(-6, 6).map(float) | st.just(math.inf), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(clean=SCORES, adversarial=ADVERSARIAL)
def test_the_curve_by_counting(clean: list[float], adversarial: list[float]) -> None:
    curve = receiver(clean, adversarial)
    assert curve[-1] == (1.0, 1.0)
    assert curve == sorted(curve)
    for threshold in {*clean, *(s for s in adversarial if s < math.inf)}:
        point = (
            sum(s > threshold for s in clean) / len(clean),
            sum(s > threshold for s in adversarial) / len(adversarial),
        )
        assert on_curve(curve, point)
    pairs = [(a > c) + (a == c) / 2 for a in adversarial for c in clean]
    assert area(curve) == pytest.approx(sum(pairs) / len(pairs))


def on_curve(curve: list[tuple[float, float]], point: tuple[float, float]) -> bool:
    for (left, low), (right, high) in pairwise(curve):
        if left == right == point[0] and low <= point[1] <= high:
            return True
        if left <= point[0] <= right and right > left:
            height = low + (high - low) * (point[0] - left) / (right - left)
            if abs(height - point[1]) < 1e-9:
                return True
    return point in curve


def test_curves_of_perfect_and_useless_detectors() -> None:
    assert area(receiver([0.0, 1.0], [2.0, 3.0])) == 1
    assert area(receiver([0.0, 1.0], [-2.0, -3.0])) == 0
    assert area(receiver([0.0, 1.0], [0.0, 1.0])) == 0.5
    assert area(receiver([0.0, 1.0], [math.inf])) == 1
    assert receiver([], [1.0]) == receiver([1.0], []) == []


def test_a_thin_curve_keeps_its_ends() -> None:
    generator = np.random.default_rng(1)
    curve = receiver(generator.normal(size=900), generator.normal(1.0, size=900))
    few = thinned(curve, 100)
    assert len(few) == 100 < len(curve)
    assert (few[0], few[-1]) == (curve[0], curve[-1])
    assert set(few) <= set(curve)
    assert area(few) == pytest.approx(area(curve), abs=0.01)
    assert thinned(few, 100) == few
