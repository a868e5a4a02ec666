"""From numbers and findings to PASS, FAIL, INCONCLUSIVE or NO_GATE."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .results import Finding, Gate, GatePart, RegressionRecord, Verdict
from .statistics import bootstrap, clopper_pearson


@dataclass(frozen=True)
class Judgement:
    """The verdict, why, what stands against a PASS, and the interval it rests on."""

    verdict: Verdict
    explanation: str
    against_pass: list[str]
    interval: tuple[float, float]
    parts: list[GatePart] = field(default_factory=list)


def judge(
    robust: float,
    unknown: int,
    n: int,
    gate: Gate,
    findings: list[Finding],
    *,
    rates: Sequence[float] | None = None,
    interval: tuple[float, float] | None = None,
    regression: RegressionRecord | None = None,
) -> Judgement:
    """Hold the worst case against the gate, and the change against a baseline where one is given.

    Args:
        robust: sum over the samples evaluated of how often each is still right.
        unknown: samples never evaluated: robust when a FAIL is at stake, broken when a PASS is.
        n: all samples.
        gate: threshold, what it is compared with, confidence.
        findings: what the controls found; severe ones that nobody waived stand against a PASS, none can undo a FAIL.
        rates: of a random target, how often each sample evaluated is right; the interval is then a bootstrap over
            samples, else Clopper-Pearson's.
        interval: one that is known already, as of a run that was ended by looking at its data.
        regression: the change against a baseline; a question of its own where the gate limits it.
    """
    if interval is None and rates is None:
        low = clopper_pearson(robust, n, gate.confidence)[0]
        interval = (low, clopper_pearson(min(n, robust + unknown), n, gate.confidence)[1])
    elif interval is None:
        interval = bootstrap(rates or [], gate.confidence, unknown=unknown)
    against = [f"{f.code}: {f.message}" for f in findings if f.severity == "severe" and not f.waived]
    if unknown:
        against.append(f"NOT_EVALUATED: {unknown} of {n} samples were not evaluated, or not attacked.")
    parts = []
    if gate.min_robust_accuracy is not None:
        point = (robust / n, min(1.0, (robust + unknown) / n))
        parts.append(_accuracy(gate.min_robust_accuracy, interval if gate.on == "interval" else point, gate))
    if gate.max_regression is not None:
        parts.append(regression_part(gate.max_regression, regression, gate))
    verdict, text, against = combined(parts, against)
    return Judgement(verdict, " ".join([text, *_waived(findings)]), against, interval, parts)


def combined(parts: Sequence[GatePart], against: list[str]) -> tuple[Verdict, str, list[str]]:
    """Verdict, why, and what stands against a PASS: one failing part is a FAIL, and only all holding ones a PASS."""
    if not parts:
        return "NO_GATE", f"No gate was set (--min-robust-accuracy). {_stood_against(against)}", against
    failing = [part.text for part in parts if part.state == "fails"]
    if failing:
        return "FAIL", " ".join(failing), against
    undecided = [part for part in parts if part.state == "open"]
    if undecided:
        codes = {"robust accuracy": "INTERVAL", "regression": "REGRESSION"}
        reasons = [f"{codes[part.name]}: {part.text}" for part in undecided]
        return "INCONCLUSIVE", " ".join(part.text for part in undecided), [*reasons, *against]
    if against:
        return "INCONCLUSIVE", f"The number would pass, but it cannot be trusted yet: {against[0]}", against
    return "PASS", " ".join(part.text for part in parts), []


def _accuracy(threshold: float, bounds: tuple[float, float], gate: Gate) -> GatePart:
    """Whether the worst case, between `bounds`, reaches the threshold."""
    worst, best = bounds
    measured = "interval" if gate.on == "interval" else "point estimate"
    if best < threshold:
        text = f"Even the upper end of the {measured}, {best:.1%}, is below the threshold of {threshold:.1%}."
        return GatePart(name="robust accuracy", state="fails", text=text)
    if worst < threshold:
        span = f"{worst:.1%}" if worst == best else f"{worst:.1%} to {best:.1%}"
        text = f"The {measured}, {span}, holds the threshold of {threshold:.1%}: evaluate more samples."
        return GatePart(name="robust accuracy", state="open", text=text)
    text = f"The lower end of the {measured}, {worst:.1%}, reaches the threshold of {threshold:.1%}."
    return GatePart(name="robust accuracy", state="holds", text=text)


def regression_part(allowed: float, found: RegressionRecord | None, gate: Gate) -> GatePart:
    """Whether the change against the baseline is a loss of more than is allowed."""
    if found is None:
        return GatePart(name="regression", state="open", text="There is no baseline to compare with: give --baseline.")
    change = found.after - found.before
    worst, best = found.interval if gate.on == "interval" else found.change
    told = f"{_points(change)} points against {found.baseline}"
    if gate.on == "interval":
        told += f" ({gate.confidence:.0%} interval {_points(worst)} to {_points(best)})"
    loss = f"a loss of more than {100 * allowed:.1f} points"
    if best < -allowed:
        text = f"Robust accuracy changed by {told}: {loss}."
        return GatePart(name="regression", state="fails", text=text)
    if worst < -allowed:
        text = f"Robust accuracy changed by {told}: whether that is {loss} is open, " + (
            "evaluate more samples." if gate.on == "interval" else "as samples are unknown."
        )
        return GatePart(name="regression", state="open", text=text)
    text = f"Robust accuracy changed by {told}: not {loss}."
    return GatePart(name="regression", state="holds", text=text)


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _waived(findings: list[Finding]) -> list[str]:
    codes = list(dict.fromkeys(f.code for f in findings if f.severity == "severe" and f.waived))
    return [f"Waived, and not standing against a PASS: {', '.join(codes)}."] if codes else []


def _stood_against(against: list[str]) -> str:
    if not against:
        return "Nothing would have stood against a PASS."
    return f"This would have stood against a PASS: {against[0]}" + (
        f" (+{len(against) - 1} more)" if against[1:] else ""
    )
