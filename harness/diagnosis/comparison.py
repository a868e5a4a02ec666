"""Two attacks on the same samples: did the one that should be weaker break what the other did not?"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..statistics import holm, mcnemar
from .limits import LEAST_SAMPLES, LEAST_SHARE, P_VALUE


@dataclass(frozen=True)
class Comparison:
    """Pairs that disagree, of all samples that both were tried on."""

    samples: int
    against: int
    """Samples that only the attack that should be weaker broke."""
    expected: int
    """Samples that only the other one broke."""

    @property
    def p(self) -> float:
        """Of an exact McNemar test, two-sided."""
        return mcnemar(self.against, self.expected)

    @property
    def lead(self) -> float:
        """By what share of the samples the weaker attack is ahead; negative where it is not."""
        return (self.against - self.expected) / max(1, self.samples)


def significant(comparisons: Mapping[str, Comparison]) -> set[str]:
    """The names of those in which the weaker attack is ahead by more than chance and by enough to matter.

    Source: reference sheet C2; Holm 1979 over all comparisons of a run.
    """
    adjusted = holm({name: comparison.p for name, comparison in comparisons.items()})
    return {
        name
        for name, found in comparisons.items()
        if found.against - found.expected >= max(LEAST_SAMPLES, LEAST_SHARE * found.samples)
        and adjusted[name] < P_VALUE
    }
