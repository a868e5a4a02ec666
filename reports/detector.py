"""A detector's operating points side by side, in words and numbers."""

from dataclasses import dataclass

from ..harness.results import OperatingPoint, Result
from .wording import count, number, percent, plural


@dataclass(frozen=True)
class PointLine:
    """One threshold, as a row."""

    name: str
    remark: str
    point: OperatingPoint


def point_lines(result: Result) -> list[PointLine]:
    """Deployed first, then the others, loosest first; none where nothing is ever rejected."""
    record = result.rejection
    if record is None:
        return []
    lines = [PointLine("Deployed", f"threshold {number(record.deployed.threshold)}", record.deployed)]
    for point in sorted(record.points, key=lambda point: point.share or 0):
        remark = f"threshold {number(point.threshold)}, rejects {percent(point.held_out_rejection)} of the held-out"
        lines.append(PointLine(f"{number(100 * (point.share or 0))} % clean rejection", remark, point))
    return lines


def detector_words(result: Result) -> str:
    """What the rows rest on, and what is missing and why; empty where nothing is ever rejected."""
    record = result.rejection
    if record is None:
        return ""
    words = (
        "Broken means accepted and wrong; a clean sample that is rejected is an error. Every threshold was attacked by "
        "itself, and what was found at one counts at every other that accepts it."
    )
    if record.points:
        held_out = plural(record.held_out, "held-out clean sample")
        words += f" Thresholds for a share of clean rejections come from {held_out}, none of which is evaluated."
    elif record.points_missing:
        words += f" There are no rows for 1 % and 5 % clean rejection: {record.points_missing}."
    return words


def curve_words(result: Result) -> str:
    """What the curve shows, or why there is none."""
    record = result.rejection
    if record is None:
        return ""
    if record.area is None:
        return f"There is no curve of the detector: {record.curve_missing}."
    without = count(record.examples - record.wrong)
    examples = count(record.examples)
    return (
        "Over all thresholds: the share of clean samples rejected against the share of adaptive examples detected. "
        f"Each of {examples} samples that are right when clean gives one example, the wrong point with the lowest "
        f"score of all that were found; {without} of them have none and count as detected. Area "
        f"{number(record.area)}, at most: a better attack can only lower the curve. The dashed line is a detector that "
        "draws lots."
    )


def detector_line(result: Result) -> str:
    """The same in a line."""
    record = result.rejection
    if record is None:
        return ""
    first = f"thresholds from {plural(record.held_out, 'held-out clean sample')}"
    without = f"{count(record.examples - record.wrong)} of {plural(record.examples, 'sample')}"
    second = f"area under the curve {number(record.area)} ({without} were never wrong and count as detected)"
    if not record.points:
        first = f"no other thresholds: {record.points_missing}"
    return f"{first}; {second if record.area is not None else f'no curve: {record.curve_missing}'}"
