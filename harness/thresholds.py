"""Where a detector's threshold has to lie, and what it is worth: pure functions of scores."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Curve = list[tuple[float, float]]


def threshold_for(scores: Sequence[float] | Scores, share: float) -> float:
    """The smallest threshold that rejects at most `share` of these clean scores; NaN is never rejected.

    Exactly floor(share n) of n different scores lie above it, fewer only where scores are equal.

    Raises:
        ValueError: there is no score, or the share is not in [0, 1).
    """
    values = _ordered(scores)[::-1]
    if len(values) == 0 or not 0 <= share < 1:
        raise ValueError(f"no threshold for a share of {share} of {len(values)} scores")
    # A product like 0.29 * 100 is 28.999999999999996.
    return float(values[math.floor(share * len(values) + 1e-9)])


def samples_needed(share: float) -> int:
    """How many clean scores it takes before a threshold for this share rejects any of them."""
    return math.ceil(1 / share - 1e-9)


def rejected(scores: Sequence[float] | Scores, threshold: float) -> float:
    """The share of the scores above the threshold; 0 of none."""
    values = np.asarray(scores, dtype=np.float64)
    return float((values > threshold).mean()) if len(values) else 0.0


def receiver(clean: Sequence[float] | Scores, adversarial: Sequence[float] | Scores) -> Curve:
    """Share of clean samples rejected against share of adversarial ones detected, (0, .) to (1, 1), every threshold.

    An adversarial score of inf is one that is detected whatever the threshold; NaN is never rejected.
    """
    calm, hostile = _ordered(clean), _ordered(adversarial)
    if len(calm) == 0 or len(hostile) == 0:
        return []
    steps = np.unique(np.concatenate([calm, hostile]))[::-1]
    curve = [(0.0, int(np.isposinf(hostile).sum()) / len(hostile))]
    for step in [s for s in steps if s != math.inf]:
        curve.append((_above(calm, step), _above(hostile, step)))
    return _corners([*curve, (1.0, 1.0)])


def area(curve: Curve) -> float:
    """The area under a curve of `receiver`: how often an adversarial score exceeds a clean one, ties counting half."""
    steps = pairwise(curve)
    return sum((right - left) * (low + high) / 2 for (left, low), (right, high) in steps)


def thinned(curve: Curve, most: int) -> Curve:
    """At most that many corners of a curve, its ends among them, evenly chosen."""
    if len(curve) <= most:
        return curve
    return [curve[round(i * (len(curve) - 1) / (most - 1))] for i in range(most)]


def _ordered(scores: Sequence[float] | Scores) -> Scores:
    values = np.asarray(scores, dtype=np.float64)
    return np.sort(np.where(np.isnan(values), -np.inf, values))


def _above(ordered: Scores, threshold: float) -> float:
    return (len(ordered) - int(np.searchsorted(ordered, threshold, side="right"))) / len(ordered)


def _corners(curve: Curve) -> Curve:
    """The curve without points that lie on the straight line between their neighbours."""
    kept: Curve = []
    for point in curve:
        if kept and point == kept[-1]:
            continue
        while len(kept) > 1 and _straight(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _straight(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    level = a[1] == b[1] == c[1]
    upright = a[0] == b[0] == c[0]
    return level or upright
