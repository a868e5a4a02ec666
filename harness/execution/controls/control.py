"""What a control experiment is, and how one is run so that whatever it raises is a finding and never a crash."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...diagnosis.outcome import Outcome
from ...errors import NoGradientError, NotApplicableError, UnfinishedError
from ...planner import Step
from ...results import AttackRecord, ControlRecord
from ..campaign import Campaign
from ..lab import Lab, Left


@dataclass(frozen=True)
class Control:
    """One experiment: its name, what it asks, and the function that runs it."""

    name: str
    question: str
    run: Callable[[Lab], Outcome]
    """Raises NotApplicableError where it means nothing for this target, with the reason."""
    full: bool = False
    """Only where the suite asks for `controls: full`."""


def run_controls(
    controls: Iterable[Control],
    campaign: Campaign,
    steps: Sequence[Step],
    *,
    outcomes: dict[str, Outcome] | None = None,
    records: list[ControlRecord] | None = None,
) -> tuple[dict[str, Outcome], list[ControlRecord]]:
    """Every experiment in turn: outcomes by name, and what is written down of each.

    Args:
        outcomes, records: are filled as they come, so that an interrupt loses none.

    Raises:
        UnfinishedError: the device was lost.
    """
    outcomes, records = {} if outcomes is None else outcomes, [] if records is None else records
    left, labs = Left.by(campaign), list[Lab]()
    standing = set((campaign.ledger.right & (left.rate >= 0.5)).nonzero().flatten().tolist())
    try:
        for control in controls:
            labs.append(Lab(campaign, steps, control.name, left))
            record, outcome = _run(control, labs[-1])
            records.append(record)
            if outcome is not None:
                outcomes[control.name] = outcome
    finally:
        if any(lab.fell for lab in labs):
            campaign.book(_together(labs, records, standing))
    return outcomes, records


def _together(labs: Sequence[Lab], records: Sequence[ControlRecord], standing: set[int]) -> AttackRecord:
    """What all experiments did to the samples that the plan had left standing, as one more attack."""
    return AttackRecord(
        name="controls",
        attack="controls",
        status="ok",
        reason="points that control experiments found inside the ball",
        attempted=len(set[int]().union(*(lab.looked for lab in labs)) & standing),
        broken=sum(lab.fell for lab in labs),
        forward=sum(record.forward for record in records),
        backward=sum(record.backward for record in records),
        seconds=sum(record.seconds for record in records),
    )


def _run(control: Control, lab: Lab) -> tuple[ControlRecord, Outcome | None]:
    campaign, record = lab.campaign, ControlRecord(name=control.name, question=control.question)
    before, started = campaign.meter.totals(), time.perf_counter()
    outcome: Outcome | None = None
    campaign.observer.started(f"control: {control.name}", 0, 0)
    try:
        outcome = control.run(lab)
        record.samples, record.measures = outcome.samples, list(outcome.measures)
    except (NotApplicableError, NoGradientError) as error:
        record.status, record.reason = "skipped", str(error)
    except UnfinishedError:
        raise
    except Exception as error:  # third-party code once more: an experiment that cannot even run has told nothing
        campaign.lost(error, f"control {control.name}")
        record.status, record.reason = "failed", f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    after = campaign.meter.totals()
    record.forward, record.backward = after.forward - before.forward, after.backward - before.backward
    record.seconds, record.fell = time.perf_counter() - started, lab.fell
    return record, outcome
