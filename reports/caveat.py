"""What the interval speaks of and what it does not: one place for the sentences that stand beside it."""

from ..harness.results import Result

UPPER_BOUND = "An attack that fails proves nothing: the number is an upper bound, which a better attack can only lower."
SHORT = "interval: sampling of test points alone; attacks give an upper bound"
SAMPLING = "The interval speaks of the sampling of test points alone, not of attacks that nobody tried."


def interval_name(result: Result) -> str:
    """By whom the interval is: `Clopper-Pearson`."""
    if result.sequential is not None:
        return result.sequential.method
    return "a bootstrap over samples" if result.stochastic else "Clopper-Pearson"


def caveat(result: Result) -> str:
    """Both sentences, and which interval it is, for the line below the number."""
    return f"{UPPER_BOUND} {SAMPLING} It is {interval_name(result)}."


def taken(result: Result) -> int:
    """Samples that the headline speaks of; fewer than there are where a run stopped once its gate was decided."""
    found = result.sequential
    return found.looked[-1] if found is not None and found.looked else len(result.samples)
