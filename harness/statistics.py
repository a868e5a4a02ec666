"""What a random target's accuracy is, and intervals for accuracies; they speak of sampling test points alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]
Counts = Sequence[int] | npt.NDArray[np.int64]

RESAMPLES = 10_000
_CELLS = 1 << 22
"""Weights held at a time."""


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


def mcnemar(only_one: int, only_other: int) -> float:
    """Exact two-sided p-value that two classifiers, or attacks, differ on the same samples.

    Args:
        only_one: samples on which only the first one succeeds.
        only_other: samples on which only the second one does.

    Raises:
        ValueError: a negative count.
    Source: McNemar 1947, in its exact binomial form.
    """
    if min(only_one, only_other) < 0:
        raise ValueError(f"no counts: {only_one} and {only_other}")
    return min(1.0, 2.0 * float(stats.binom.cdf(min(only_one, only_other), only_one + only_other, 0.5)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values adjusted so that all together are wrong no more often than one of them.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    adjusted, largest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = largest
    return adjusted


def bootstrap(
    values: Sequence[float] | Values, confidence: float = 0.95, *, unknown: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of a bootstrap over samples for the mean of their values in [0, 1].

    A sample is resampled whole, with what its draws said. Samples get random weights (the Bayesian bootstrap), which
    sum to one, and a pseudo-sample stands among them: of value 0 for the lower end, of value 1 for the upper. So there
    is no interval of width zero where all values are equal, and where all are 0 or 1 it is Clopper-Pearson's.

    The multinomial bootstrap with both pseudo-samples in one pool was tried and falls short: with 500 rates that are
    all 0.99 the truth was above it 6 % of the time instead of 2.5 %, because the pseudo-samples pull the mean inward.

    Args:
        values: one per sample.
        confidence: of the interval, two-sided.
        unknown: samples more of which nothing is known: they count 0 for the lower end and 1 for the upper.
        resamples: how often; the same every time, from a generator of its own.

    Raises:
        ValueError: no sample at all, or a value outside [0, 1].
    Source: Rubin 1981, "The Bayesian bootstrap"; Learned-Miller and Thomas 2019, "A new confidence interval for the
        mean of a bounded random variable" (Gaffke's bound: no law is known for which it falls short).
    """
    kinds, times = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if not len(kinds) + unknown or unknown < 0 or not np.all((kinds >= 0) & (kinds <= 1)):
        raise ValueError("there is no mean of no values, or of values outside [0, 1]")
    generator = np.random.Generator(np.random.PCG64(0))
    # Equal values share one weight, a gamma variate of as many degrees; the last weight is the pseudo-sample's.
    degrees = np.append(times, 1 + unknown).astype(np.float64)
    lower, upper = [], []
    step = max(1, _CELLS // len(degrees))
    for start in range(0, resamples, step):
        weights = generator.standard_gamma(degrees, size=(min(step, resamples - start), len(degrees)))
        weights /= weights.sum(axis=1, keepdims=True)
        known = weights[:, :-1] @ kinds
        lower.append(known)
        upper.append(known + weights[:, -1])
    tail = (1.0 - confidence) / 2.0
    low = float(np.quantile(np.concatenate(lower), tail, method="lower"))
    high = float(np.quantile(np.concatenate(upper), 1.0 - tail, method="higher"))
    # Weights sum to one up to rounding; ends are ends.
    return low, 1.0 if high > 1.0 - 1e-12 else high


def expectation(right: Counts, draws: int) -> Values:
    """Per sample, how often one draw is right: s / n of s right answers in n draws."""
    return _checked(right, draws) / draws


def majority(right: Counts, draws: int) -> Values:
    """Per sample, 1 where more than half of the draws are right; a tie counts as broken."""
    return (2 * _checked(right, draws) > draws).astype(np.float64)


def worst_of(tries: int, right: Counts, draws: int) -> Values:
    """Per sample, the chance that all of `tries` different draws of the n are right (hypergeometric).

    It is the unbiased estimate of p^tries for a sample of true rate p. More tries than draws are as many as draws.

    Raises:
        ValueError: fewer than one try, or counts outside [0, n].
    """
    counts = _checked(right, draws)
    if tries < 1:
        raise ValueError(f"the worst of {tries} is nothing")
    drawn = np.arange(min(tries, draws))
    ratios = np.clip((np.arange(draws + 1)[:, None] - drawn) / (draws - drawn), 0.0, 1.0)
    chances: Values = ratios.prod(axis=1)
    return chances[counts.astype(np.int64)]


def _checked(right: Counts, draws: int) -> Values:
    counts = np.asarray(right, dtype=np.float64).reshape(-1)
    if draws < 1 or not np.all((counts >= 0) & (counts <= draws) & (counts == np.round(counts))):
        raise ValueError(f"counts of right answers are whole numbers between 0 and the number of draws, {draws}")
    return counts
