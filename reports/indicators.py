"""The six indicators of attack failure, per sample."""

from collections import Counter

from ..harness.results import Result, SampleRecord
from .wording import count, plural

INDICATORS = {
    "I1": "no gradient",
    "I2": "loss jumps with tiny noise",
    "I3": "the attack passed a break and did not return it",
    "I4": "the loss was still rising",
    "I5": "the point fools the stand-in, not the target",
    "I6": "fails even without a limit",
}
"""Source: Pintor et al. 2022, Indicators of Attack Failure, section 3."""


def looked_at(result: Result) -> list[SampleRecord]:
    """The standing samples that the indicators looked at."""
    return [s for s in result.samples if s.evidence is not None and s.outcome == "survived"]


def indicator_words(result: Result) -> str:
    """How many standing samples count as evidence, and which indicators fired; empty where none looked."""
    words, fired = indicator_tally(result), _fired(result)
    seen = [f"{name} {named(name)} on {count(times)}" for name, times in sorted(fired.items())]
    return f"{words} ({'; '.join(seen)})" if seen else words


def indicator_tally(result: Result) -> str:
    """How many standing samples count as evidence; empty where none looked."""
    looked = looked_at(result)
    if not looked:
        return ""
    good = sum(bool(sample.evidence) for sample in looked)
    return f"of {plural(len(looked), 'standing sample')} looked at, {count(good)} count as evidence of robustness"


def named(indicator: str) -> str:
    """What an indicator means, in a few words."""
    return INDICATORS.get(indicator, "")


def _fired(result: Result) -> Counter[str]:
    return Counter(name for sample in looked_at(result) for name in sample.indicators)
