"""Intervals for accuracies. They speak of sampling test points only; an attack gives an upper bound."""

from scipy import stats


def clopper_pearson(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial proportion.

    `successes` may be fractional (a sum of per-sample rates in [0, 1]): rates have at most the variance of a
    binomial with the same mean, so the interval is then conservative.

    Raises:
        ValueError: n is not positive, or successes are outside [0, n].
    Source: Clopper and Pearson 1934.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"no proportion of {successes} out of {n}")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes == n else float(stats.beta.ppf(1.0 - tail, successes + 1, n - successes))
    return low, high
