"""Does a target that may refuse to answer refuse too much, or on too little evidence?"""

from ..results import Finding, OperatingPoint, RejectionRecord
from ..thresholds import samples_needed
from .limits import limit
from .records import Records

_UNDONE = ("crashed", "skipped", "starved", "interrupted")


def rejection(records: Records) -> list[Finding]:
    """Clean samples rejected, thresholds that are not reported or rest on too little; none without a rejection."""
    record = records.rejection
    if record is None:
        return []
    undone = (_undone(point) for point in record.points)
    found = [_clean(record), _constant(record), _missing(record), *_small(record), *undone]
    return [finding for finding in found if finding is not None]


def _clean(record: RejectionRecord) -> Finding | None:
    share, allowed = record.deployed.clean_rejection.value, limit("CLEAN_REJECTION")
    severity = allowed.judge(share)
    if severity is None:
        return None
    nothing = " An answer that is never given cannot be broken." if share == 1 else ""
    return Finding(
        code="CLEAN_REJECTION",
        severity=severity,
        message=f"{share:.1%} of the clean samples are rejected, each an error of the target.{nothing}",
        measured=share,
        threshold=allowed.threshold if severity == allowed.severity else allowed.warning,
        remedy="Check the threshold (--reject-above), its direction, and the range of the samples.",
    )


def _constant(record: RejectionRecord) -> Finding | None:
    if not record.constant:
        return None
    return Finding(
        code="CONSTANT_SCORE",
        severity=limit("CONSTANT_SCORE").severity,
        message="The rejection score is the same for every clean sample: a detector that tells nothing apart.",
        remedy="Check which output was named (--reject-output) and how it was exported.",
    )


def _missing(record: RejectionRecord) -> Finding | None:
    reasons = dict.fromkeys(reason for reason in (record.points_missing, record.curve_missing) if reason)
    if not reasons:
        return None
    without = [
        *(["robust accuracy at 1 % and 5 % clean rejection"] if record.points_missing else []),
        *(["the curve of the detector"] if record.curve_missing else []),
    ]
    remedy = "Give clean samples that are not evaluated (held_out)." if not record.held_out else ""
    return Finding(
        code="OPERATING_POINTS",
        severity=limit("OPERATING_POINTS").severity,
        message=f"Not reported: {' and '.join(without)} ({'; '.join(reasons)}).",
        measured=record.held_out,
        remedy=remedy,
    )


def _small(record: RejectionRecord) -> list[Finding]:
    found = []
    for point in record.points:
        needed = samples_needed(point.share or 1)
        if record.held_out < needed:
            found.append(
                Finding(
                    code="HELD_OUT_SMALL",
                    severity=limit("HELD_OUT_SMALL").severity,
                    message=f"{record.held_out} held-out samples set the threshold for {_percent(point)} clean "
                    "rejection, which therefore rejects none of them.",
                    measured=record.held_out,
                    threshold=needed,
                    remedy=f"Give at least {needed} held-out clean samples, better ten times as many.",
                )
            )
    return found


def _percent(point: OperatingPoint) -> str:
    return f"{100 * (point.share or 0):g} %"


def _undone(point: OperatingPoint) -> Finding | None:
    undone = [attack for attack in point.attacks if attack.status in _UNDONE]
    if not undone:
        return None
    reasons = "; ".join(dict.fromkeys(f"{attack.status}: {attack.reason}" for attack in undone))
    return Finding(
        code="OPERATING_POINT_UNFINISHED",
        severity=limit("OPERATING_POINT_UNFINISHED").severity,
        message=f"At {_percent(point)} clean rejection {len(undone)} attacks did not do their work ({reasons}).",
        measured=len(undone),
        threshold=0,
        remedy="The number there is an upper bound of a weaker kind: mend what failed, or raise the budget.",
    )
