"""Samples in portions, with a look after each: stop as soon as the gate is decided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..planner import Step
from ..randomness import Stream
from ..results import AttackRecord, AttackStatus, PlanEntry
from ..sequence import sequence
from ..stopping import decided
from .campaign import Campaign
from .observer import Observer

FIRST = 64
GROWTH = 1.25
LEAST = 32
"""Samples in the first portion; how much larger the taken set is at the next look; least samples of a portion. Looks
cost nothing in error, portions cost a batch that is not full."""

_WORSE: tuple[AttackStatus, ...] = ("idle", "ok", "not_applicable", "skipped", "starved", "interrupted", "crashed")
"""What an attack came to in any portion is what it came to: from the best to the worst."""


def looks(n: int) -> list[int]:
    """How many samples are taken at each look; n at the last."""
    counts = [min(FIRST, n)]
    while counts[-1] < n:
        counts.append(min(n, max(counts[-1] + LEAST, round(counts[-1] * GROWTH))))
    return counts


def portions(ids: Tensor) -> list[Tensor]:
    """Positions of the samples named `ids` (n,), in portions; the names alone say which comes when."""
    order = Stream.create(0, "portions", ids.cpu()).keys.argsort(stable=True)
    counts = [0, *looks(len(ids))]
    return [order[a:b].sort().values for a, b in pairwise(counts)]


def measured(campaign: Campaign) -> tuple[float, float]:
    """The interval that holds at every look, for what is known now."""
    ledger = campaign.ledger
    taken, unknown = int(ledger.taken.sum()), int(ledger.unknown.sum())
    return sequence(ledger.proven, taken, campaign.job.gate.confidence, unknown=unknown)


def attack_in_portions(
    campaign: Campaign, steps: Callable[[], Sequence[Step]], attack: Callable[[], None]
) -> list[int]:
    """Attack portion by portion until the gate is decided; returns how many samples were taken at each look.

    Limited black-box attacks come back for earlier portions when one of them has succeeded in a later one, so that
    no sample is let off for having come early.

    Args:
        campaign: after its clean pass; it is left with every taken sample active.
        steps: the plan as it stands, revisions included.
        attack: every step of it, on the active samples.
    """
    ledger, quiet = campaign.ledger, torch.zeros_like(campaign.ledger.taken)
    looked: list[int] = []
    observer, campaign.observer = campaign.observer, Portions(campaign.observer)
    ledger.taken, ledger.seen = torch.zeros_like(ledger.taken), torch.zeros_like(ledger.seen)
    try:
        for rows in portions(campaign.ids):
            _activate(campaign, rows)
            _merged(campaign, attack)
            if campaign.blackbox_falls == 0:
                quiet |= ledger.active
            looked.append(int(ledger.taken.sum()))
            if decided(measured(campaign), campaign.job.gate):
                break
        limited = [s for s in steps() if s.runs and s.blackbox and s.request.samples is not None]
        if campaign.blackbox_falls > 0 and limited and bool(quiet.any()):
            ledger.active = quiet
            _merged(campaign, lambda: campaign.attack(limited), again=True)
    finally:
        ledger.active = ledger.taken.clone()
        campaign.observer = observer
        for record in campaign.records:
            observer.finished(record)
    return looked


def _activate(campaign: Campaign, rows: Tensor) -> None:
    ledger = campaign.ledger
    ledger.active = torch.zeros_like(ledger.taken)
    ledger.active[rows] = ledger.taken[rows] = ledger.seen[rows] = True
    campaign.scored = False


def _merged(campaign: Campaign, attack: Callable[[], None], *, again: bool = False) -> None:
    """Attack, and add what each attack did to what it did before; a random target's worst cases are scored at once, as
    a rate that chose them is lower than it is.

    Args:
        again: the active samples are none that these attacks see for the first time.
    """
    before, campaign.records = campaign.records, []
    revised, campaign.added = campaign.added, []  # what was added for other samples is added for these too
    taken, active = int(campaign.ledger.taken.sum()), int(campaign.ledger.active.sum())
    part = 1.0 if again else active / taken
    try:
        attack()
        campaign.final_score()
    finally:
        if again:
            _over_all(campaign)
        records = {record.name: record for record in before}
        for record in campaign.records:
            known = records.get(record.name) or (_idle(before[-1]) if before else record)
            records[record.name] = record if known is record else added(known, record, part)
        campaign.records = list(records.values())
        names = {step.request.name for step in revised}
        campaign.added = [*revised, *(step for step in campaign.added if step.request.name not in names)]


def _over_all(campaign: Campaign) -> None:
    campaign.ledger.active = campaign.ledger.taken.clone()
    for record in campaign.records:
        record.robust_accuracy = campaign.ledger.share


def _idle(last: AttackRecord) -> AttackRecord:
    """Of an attack that earlier portions did not need: what stood after all others stood after it."""
    return AttackRecord(name="", attack="", status="idle", robust_accuracy=last.robust_accuracy)


def added(one: AttackRecord, other: AttackRecord, part: float) -> AttackRecord:
    """Two portions of one attack as one record; `other` speaks of that part of the samples of both."""
    worse = max(one, other, key=lambda record: _WORSE.index(record.status))
    sums = ("attempted", "broken", "invalid", "forward", "backward", "seconds")
    total = {name: getattr(one, name) + getattr(other, name) for name in sums}
    first, second = one.robust_accuracy or 0.0, other.robust_accuracy or 0.0
    return other.model_copy(
        update={
            **total,
            "status": worse.status,
            "reason": worse.reason or one.reason or other.reason,
            "robust_accuracy": first + part * (second - first),
        }
    )


@dataclass(frozen=True)
class Portions:
    """Hands on progress; of an attack it tells when all portions are done."""

    observer: Observer

    def planned(self, plan: list[PlanEntry]) -> None:
        """As it is."""
        self.observer.planned(plan)

    def clean(self, accuracy: float, classes: int, samples: int) -> None:
        """As it is."""
        self.observer.clean(accuracy, classes, samples)

    def started(self, what: str, samples: int, passes: int) -> None:
        """As it is."""
        self.observer.started(what, samples, passes)

    def advanced(self, standing: int, robust_accuracy: float) -> None:
        """As it is."""
        self.observer.advanced(standing, robust_accuracy)

    def passed(self, passes: int) -> None:
        """As it is."""
        self.observer.passed(passes)

    def finished(self, record: AttackRecord) -> None:
        """Say nothing yet."""
