"""From numbers and findings to PASS, FAIL, INCONCLUSIVE or NO_GATE."""

from collections.abc import Sequence
from dataclasses import dataclass

from .results import Finding, Gate, Verdict
from .statistics import bootstrap, clopper_pearson


@dataclass(frozen=True)
class Judgement:
    """The verdict, why, what stands against a PASS, and the interval it rests on."""

    verdict: Verdict
    explanation: str
    against_pass: list[str]
    interval: tuple[float, float]


def judge(
    robust: float, unknown: int, n: int, gate: Gate, findings: list[Finding], *, rates: Sequence[float] | None = None
) -> Judgement:
    """Hold the worst case against the gate.

    Args:
        robust: sum over the samples evaluated of how often each is still right.
        unknown: samples never evaluated: robust when a FAIL is at stake, broken when a PASS is.
        n: all samples.
        gate: threshold, what it is compared with, confidence.
        findings: what the controls found; severe ones stand against a PASS, none can undo a FAIL.
        rates: of a random target, how often each sample evaluated is right; the interval is then a bootstrap over
            samples, else Clopper-Pearson's.
    """
    if rates is None:
        low = clopper_pearson(robust, n, gate.confidence)[0]
        high = clopper_pearson(min(n, robust + unknown), n, gate.confidence)[1]
    else:
        low, high = bootstrap(rates, gate.confidence, unknown=unknown)
    against = [f"{f.code}: {f.message}" for f in findings if f.severity == "severe"]
    if unknown:
        against.append(f"NOT_EVALUATED: {unknown} of {n} samples were not evaluated, or not attacked.")
    threshold = gate.min_robust_accuracy
    if threshold is None:
        text = "No gate was set (--min-robust-accuracy)."
        return Judgement("NO_GATE", f"{text} {_stood_against(against)}", against, (low, high))
    worst, best = (low, high) if gate.on == "interval" else (robust / n, min(1.0, (robust + unknown) / n))
    measured = "interval" if gate.on == "interval" else "point estimate"
    if best < threshold:
        text = f"Even the upper end of the {measured}, {best:.1%}, is below the threshold of {threshold:.1%}."
        return Judgement("FAIL", text, against, (low, high))
    if worst < threshold:
        span = f"{worst:.1%}" if worst == best else f"{worst:.1%} to {best:.1%}"
        text = f"The {measured}, {span}, holds the threshold of {threshold:.1%}: evaluate more samples."
        against.insert(0, f"INTERVAL: {text}")
        return Judgement("INCONCLUSIVE", text, against, (low, high))
    if against:
        text = f"The number would pass, but it cannot be trusted yet: {against[0]}"
        return Judgement("INCONCLUSIVE", text, against, (low, high))
    text = f"The lower end of the {measured}, {worst:.1%}, reaches the threshold of {threshold:.1%}."
    return Judgement("PASS", text, [], (low, high))


def _stood_against(against: list[str]) -> str:
    if not against:
        return "Nothing would have stood against a PASS."
    return f"This would have stood against a PASS: {against[0]}" + (
        f" (+{len(against) - 1} more)" if against[1:] else ""
    )
