"""A random target's accuracies side by side, and which of them fits which deployment."""

from dataclasses import dataclass

from ..harness.results import Estimate, Result


@dataclass(frozen=True)
class Line:
    """One way to count draws, with what it says of the clean samples and of the worst cases."""

    key: str
    name: str
    fits: str
    """The deployment that the number is for."""
    clean: Estimate
    robust: Estimate


_WAYS = (
    ("expectation", "Expectation", "one answer to each question: the headline"),
    ("majority", "Majority", "a vote over very many answers"),
    ("worst_of_10", "Worst of 10", "one wrong answer in 10 is a break"),
    ("worst_of_100", "Worst of 100", "one wrong answer in 100 is a break"),
)


def draw_lines(result: Result) -> list[Line]:
    """The lines of the table; none for a deterministic target or an unfinished score."""
    report = result.stochastic_report
    if report is None:
        return []
    return [Line(key, name, fits, getattr(report.clean, key), getattr(report.robust, key)) for key, name, fits in _WAYS]


def draw_words(result: Result) -> str:
    """What was drawn, and how to read the lines; empty where there are none."""
    report = result.stochastic_report
    if report is None:
        return ""
    each = "" if report.rule == "single" else f", each an answer by the rule {report.rule},"
    return (
        f"Each point was fixed, then scored on {report.draws} fresh draws{each} that no attack saw. Read the "
        "expectation if the product answers once, the majority if it votes over many answers (and declare that vote as "
        "the decision rule, so that it is what is attacked), and the worst of N if an adversary may ask N times and "
        "needs one wrong answer."
    )
