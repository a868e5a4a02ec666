"""The three ways to count a random target's answers, clean and attacked."""

from collections.abc import Sequence

from .results import DrawsRecord, Estimate, StochasticRecord
from .statistics import Counts, Values, bootstrap, expectation, majority, worst_of


def stochastic_record(
    clean: Sequence[float], robust: Sequence[float], *, samples: int, draws: int, rule: str, confidence: float
) -> StochasticRecord:
    """Expectation, majority and worst of N from the rates of right answers per sample.

    Args:
        clean: for every clean sample that was answered, how often its draws were right.
        robust: for every sample of which something is known, the same for the worst case found.
        samples: of the data set; those that are missing above count as broken for the lower end of an interval and as
            right for the upper.
        draws: fresh ones behind each rate, each an answer of the product by its declared rule.
        rule: that rule.
        confidence: of the intervals.
    """
    return StochasticRecord(
        rule=rule,
        draws=draws,
        samples=samples,
        confidence=confidence,
        clean=_counted(clean, samples, draws, confidence),
        robust=_counted(robust, samples, draws, confidence),
    )


def _counted(rates: Sequence[float], samples: int, draws: int, confidence: float) -> DrawsRecord:
    right: Counts = [round(rate * draws) for rate in rates]

    def estimate(values: Values) -> Estimate:
        interval = bootstrap(values, confidence, unknown=samples - len(values))
        return Estimate(value=float(values.mean()) if len(values) else 0.0, interval=interval)

    return DrawsRecord(
        expectation=estimate(expectation(right, draws)),
        majority=estimate(majority(right, draws)),
        worst_of_1=estimate(worst_of(1, right, draws)),
        worst_of_10=estimate(worst_of(10, right, draws)),
        worst_of_100=estimate(worst_of(100, right, draws)),
    )
