"""Two accuracies on the same samples: an interval for their difference."""

from collections.abc import Sequence

import numpy as np

from .statistics import Values, bootstrap


def paired_difference(
    least: Sequence[float] | Values, most: Sequence[float] | Values | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for the mean of differences in [-1, 1], one per sample.

    Gaffke's bound of `bootstrap`, on values of -1, 0 and 1 as well as on differences of rates: samples on which nothing
    changed add no spread, and where all are such the interval is not a point. Tango's score interval is 3 to 16 %
    narrower and falls short where few samples change: of 100, 5 % one way and 1 % the other, one end misses 5.0 % of
    the time instead of 2.5 %, this one 0.5 % (exact sums over the trinomial law).

    Args:
        least: the differences; where one is not known, the smallest that it may be.
        most: the same with the largest that it may be; equal unless given.
        confidence: of the interval, two-sided.

    Raises:
        ValueError: no sample at all, or a difference outside [-1, 1].
    Source: Learned-Miller and Thomas 2019, "A new confidence interval for the mean of a bounded random variable";
        compared with Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design".
    """
    bottom = np.asarray(least, dtype=np.float64)
    top = bottom if most is None else np.asarray(most, dtype=np.float64)
    low = bootstrap((bottom + 1.0) / 2.0, confidence)[0]
    high = bootstrap((top + 1.0) / 2.0, confidence)[1]
    return 2.0 * low - 1.0, 2.0 * high - 1.0
