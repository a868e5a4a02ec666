"""The run against an earlier one, and looks at the data while they came in."""

from ..harness.results import RegressionRecord, Result
from .wording import NARROW, count, number, percent, plural, points


def regression_words(result: Result) -> str:
    """Both numbers, the difference with its interval, McNemar, and what the gate allows; empty without a baseline."""
    found = result.regression
    if found is None:
        return ""
    allowed = "" if found.allowed is None else f" The gate allows a loss of {points(found.allowed).lstrip('+')}."
    return (
        f"On the same {plural(found.samples, 'sample')} {found.baseline} had {percent(found.before)} and this run has "
        f"{percent(found.after)}: {_change(found)} ({number(100 * result.gate.confidence)}{NARROW}% interval "
        f"{_between(found.interval)}). {count(found.only_before)} were robust only before, {count(found.only_after)} "
        f"only now; exact McNemar p = {number(found.p)}.{allowed}"
    )


def regression_line(result: Result) -> str:
    """The same in a line."""
    found = result.regression
    if found is None:
        return ""
    allowed = "" if found.allowed is None else f"; {points(found.allowed).lstrip('+')} of loss allowed"
    return (
        f"{found.baseline} had {percent(found.before)}: {_change(found)} ({_between(found.interval)}), McNemar p = "
        f"{number(found.p)} on {plural(found.samples, 'sample')}{allowed}"
    )


def sequential_words(result: Result) -> str:
    """After how many samples the run stopped, and by what method; empty where all samples were taken at once."""
    found = result.sequential
    if found is None:
        return ""
    looks = plural(len(found.looked), "look")
    seen = found.looked[-1] if found.looked else 0
    end = (
        f"decided after {count(seen)} of {plural(found.of, 'sample')} ({looks})"
        if found.decided
        else f"not decided after {count(seen)} of {plural(found.of, 'sample')} ({looks})"
    )
    return f"{end}; {found.method}"


def _change(found: RegressionRecord) -> str:
    least, most = (points(bound) for bound in found.change)
    return least if least == most else f"between {least} and {most}"


def _between(bounds: tuple[float, float]) -> str:
    low, high = (points(bound) for bound in bounds)
    return f"{low.removesuffix(' points')} to {high}"
