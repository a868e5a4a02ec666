"""When a gate is decided by an interval that holds at every look, and what is said about having stopped there."""

from .results import Gate, SequentialRecord
from .sequence import METHOD


def decided(interval: tuple[float, float], gate: Gate) -> bool:
    """Whether all of the interval lies on one side of the threshold."""
    threshold = gate.min_robust_accuracy
    return threshold is not None and (interval[0] >= threshold or interval[1] < threshold)


def sequential_record(looked: list[int], of: int, interval: tuple[float, float], gate: Gate) -> SequentialRecord:
    """How many samples of `of` were taken at each look, and whether the final interval decides."""
    return SequentialRecord(method=METHOD, looked=looked, of=of, decided=decided(interval, gate))


def stopping_words(record: SequentialRecord | None) -> str:
    """How far a run went that might stop; empty of any other."""
    if record is None:
        return ""
    taken = record.looked[-1]
    text = f"{taken:,} of {record.of:,} samples were taken"
    if taken == record.of:
        return f"All {text}, in portions, so the interval is wider than that of a run of fixed size."
    if record.decided:
        return f"{text}, until the gate was decided; the others were not evaluated, and nothing is said of them."
    return (
        f"{text} until the gate seemed decided, and what was found after the attacks opened it again: evaluate without "
        "--stop-when-decided."
    )
