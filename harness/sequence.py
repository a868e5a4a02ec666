"""An interval for a mean that holds at every look at once, so that looking ends no error rate early.

Lower end at level a: the smallest p at which the mixture M(p) of likelihood ratios against all larger means, uniformly
weighted, stays below 1/a. Under a mean of at most p each ratio (t/p)^x ((1-t)/(1-p))^(1-x), t > p, is convex in x, so
for any x in [0, 1] at most the chord between its ends, whose expectation is at most 1: M(p) is a nonnegative
supermartingale that starts at 1 and ever reaches 1/a with chance a at most. That needs of each value only that its
mean, given all before it, is at most p; hence
- rates in [0, 1] may stand for answers, and values may be lowered afterwards, by attacks that came later: the upper end
  is monotone in them and was valid for the robust samples themselves, which no attack can lower;
- any rule of stopping is allowed.

The price: an interval 1.6 times as wide as Clopper-Pearson's at 100 samples, 1.5 to 1.8 times at 1000.

Source: Ville 1939; Robbins 1970, "Statistical methods related to the law of the iterated logarithm"; Howard, Ramdas,
McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", 3.
"""

import math

from scipy import special

METHOD = "beta-binomial mixture martingale (Robbins 1970), valid at every look"

_HALVINGS = 60


def sequence(total: float, n: int, confidence: float = 0.95, *, unknown: float = 0.0) -> tuple[float, float]:
    """Interval for the mean of values in [0, 1] of which n were taken, whenever the taking was ended.

    Each end misses at any look with a chance of at most (1 - confidence) / 2, over all looks together.

    Args:
        total: their sum.
        n: how many.
        confidence: of the interval, two-sided.
        unknown: of the n, values that nobody knows: they are missing in `total`, and count 1 for the upper end.

    Raises:
        ValueError: n is not positive, or the sum is outside [0, n].
    """
    if n <= 0 or not 0 <= total <= n:
        raise ValueError(f"no mean of {n} values in [0, 1] whose sum is {total}")
    tail = (1.0 - confidence) / 2.0
    return lower_end(total, n, tail), 1.0 - lower_end(max(0.0, n - total - unknown), n, tail)


def lower_end(total: float, n: int, tail: float) -> float:
    """The smallest mean that is not refuted from above; M decreases in p, so all below it are."""
    low, high = 0.0, total / n
    for _ in range(_HALVINGS if total > 0 else 0):
        middle = (low + high) / 2
        if middle > 0 and log_mixture(middle, total, n) < -math.log(tail):
            high = middle
        else:
            low = middle
    return low


def log_mixture(p: float, total: float, n: int) -> float:
    """log M(p): evidence against every mean of at most p, which is in (0, 1)."""
    right, wrong = total, n - total
    above = float(special.betainc(wrong + 1, right + 1, 1 - p))
    if above <= 0:
        return -math.inf
    weight = float(special.betaln(right + 1, wrong + 1)) + math.log(above)
    return weight - math.log1p(-p) - right * math.log(p) - wrong * math.log1p(-p)
