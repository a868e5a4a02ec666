"""The attacks of one evaluation, in order: who is attacked, on what target, and what the replay says."""

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..attacks import ATTACKS
from ..decision import MATCHING_LOSSES
from ..errors import DataError, NoGradientError, NotApplicableError, UnfinishedError
from ..gradients.ascent import Ascent
from ..grid import ROUNDINGS, fitted, nearest, reachable
from ..planner import Step
from ..results import AttackRecord, AttackStatus, OperatingPoint, Phase
from ..target import Problem
from ..threat import Ball
from . import revision, scoring
from .coordinates import Coordinates
from .guides import guides
from .job import Job
from .ledger import CLEAN, Ledger
from .local import LocalTarget
from .meter import BudgetExhaustedError, Meter
from .observer import Observer
from .refusals import Refusals
from .scene import Scene, batch_size
from .trace import Pulse, Trace


@dataclass(kw_only=True)
class Campaign(Scene):
    """State of a running evaluation."""

    ledger: Ledger
    records: list[AttackRecord] = field(default_factory=list)
    blackbox_falls: int = 0
    """Samples that fell to a black-box attack."""
    only: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    """Which of them every gradient attack had been unable to break, (n,)."""
    gradients_left: bool = False
    """Whether gradient attacks are still to come."""
    guidance: dict[str, Tensor] = field(default_factory=dict)
    """By matching loss, what the model says of the clean samples, (n, F)."""
    points: list[OperatingPoint] = field(default_factory=list)
    """Other thresholds of rejection, evaluated."""
    curve_attacks: list[AttackRecord] = field(default_factory=list)
    """What ran at further thresholds, for the detector's curve alone."""
    revising: bool = True
    """Whether the plan is added to while it runs."""
    added: list[Step] = field(default_factory=list)
    """What was added to it, each name once."""
    adding: list[Step] = field(default_factory=list)
    """The same since the last time that the plan began."""
    pulses: dict[str, list[Pulse]] = field(default_factory=dict)
    """By the name of each entry that climbs gradients of the target, what its questions came to, block by block."""
    climbed: dict[tuple[str, tuple[int, ...]], Ascent] = field(default_factory=dict)
    """Kinds of gradients that were tried for some samples while the plan ran."""
    concerned: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    """Samples on which a gradient attack was blind, (n,)."""
    answered: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    """Samples that an added attack took on, (n,)."""
    doubt: str = ""
    """Why no gradient of the plan is believed before it runs."""
    escalated: str = ""
    """Label of an added gradient that leads uphill and answered for every sample on which those of the plan did not."""
    labels_only: bool = False
    """Whether the deployed model answers with labels."""
    scored: bool = False
    """Whether every worst case of a random target has its score from fresh draws."""

    @classmethod
    def begin(cls, job: Job, observer: Observer) -> "Campaign":
        """Lay out attack space and the books."""
        if job.box is not None:
            coordinates = Coordinates.of_box(*job.box)
        else:
            bounds, grid = job.pipeline.classifier.info.bounds, job.pixel_grid == "8bit"
            coordinates = Coordinates.of_bounds(bounds, job.x.dim(), "cpu", grid=grid)
        z = coordinates.from_input(job.x)
        reach = torch.maximum(z, 1 - z).flatten(1).amax(dim=1)
        eps = reach if job.eps is None else job.eps
        if coordinates.grid:
            z, eps = nearest(z), reachable(eps, job.norm)
        return cls(
            job=job,
            pipeline=job.pipeline,
            coordinates=coordinates,
            ball=Ball.create(z, eps, job.norm),
            ledger=Ledger(job.x),
            meter=Meter(len(job.x), job.budget, observer.passed),
            observer=observer,
            batch=job.batch or batch_size(job.x[0].numel(), job.device),
            only=torch.zeros(len(job.x), dtype=torch.bool),
            concerned=torch.zeros(len(job.x), dtype=torch.bool),
            answered=torch.zeros(len(job.x), dtype=torch.bool),
        )

    @property
    def blackbox_only(self) -> int:
        """Samples that fell to black-box attacks after every gradient attack, escalated ones included, had failed."""
        return int(self.only.sum())

    def clean_pass(self) -> None:
        """Who is right when nobody attacks."""
        rows = torch.arange(len(self.job.x))
        self.classes = self._classes()
        self._check_classes(self.job.y, "label")
        if self.job.targets is not None:
            self._check_classes(self.job.targets, "target")
        passes = scoring.passes(self, scoring.SCORING_DRAWS + scoring.CONFIRMATION_DRAWS)
        self.observer.started(CLEAN, len(rows), len(rows) * passes)
        if self.pipeline.rejects and not self.pipeline.random and self.ledger.refusals is None:
            self.ledger.refusals = Refusals(self.job.x)
        for block in torch.split(rows, self.block):
            seen, rival = scoring.clean(self, block)
            ledger = self.ledger
            ledger.clean_rate[block], ledger.rate[block] = seen.rate, rival
            ledger.clean_prediction[block] = ledger.prediction[block] = seen.label
            ledger.score[block], ledger.seen[block] = seen.score, ledger.taken[block]
            if seen.refused is not None:
                ledger.clean_refused[block] = seen.refused
            if ledger.refusals is not None:
                ledger.refusals.see_clean(block, seen, self.goal(block), self.pipeline.threshold)
            self._advance()
        self.observer.clean(float(self.ledger.clean_rate.mean()), self.classes, len(rows))

    def attack(self, steps: list[Step]) -> None:
        """Every step in order; limited black-box steps come back for all samples once one of them succeeded.

        Where a gradient leads nowhere, steps are added (`added`) that go on with another.
        """
        limited: list[tuple[Step, AttackRecord, Tensor]] = []
        self.adding, self.pulses = [], {}
        for number, step in enumerate(steps):
            if not step.runs:
                status: AttackStatus = "skipped" if step.applies else "not_applicable"
                self.book(
                    AttackRecord(
                        name=step.request.name, attack=step.request.config.attack, status=status, reason=step.reason
                    )
                )
                if self.revising:
                    revision.without_gradient(self, step)
                continue
            escalated = step.blackbox and self.blackbox_falls > 0
            request = step.request
            rows = self.ledger.standing_rows(request.closest, request.at_least, None if escalated else request.samples)
            self.gradients_left = any(s.runs and not s.blackbox for s in steps[number + 1 :])
            record = self.run(step, rows)
            if self.revising:
                revision.after_attack(self, step, self.pulses.get(request.name, []))
            if step.blackbox and request.samples is not None and record.status == "ok":
                limited.append((step, record, rows))
            if self.blackbox_falls > 0:
                self._escalate(limited)
        if self.revising:
            revision.after_blackbox(self, steps)
        self._advance()

    def _escalate(self, limited: list[tuple[Step, AttackRecord, Tensor]]) -> None:
        """Take the samples that limited black-box attacks left out."""
        while limited:
            step, record, done = limited.pop(0)
            rows = self.ledger.standing_rows()
            rest = rows[~torch.isin(rows, done)]
            if len(rest):
                self.run(step, rest, record)

    def problem(self, step: Step, rows: Tensor, *, phase: Phase | None = None, ball: Ball | None = None) -> Problem:
        """What `step` is asked about the samples at `rows`, with the samples that it may imitate."""
        problem, config = super().problem(step, rows, phase=phase, ball=ball), step.request.config
        loss = getattr(config, "loss", "")
        if loss not in MATCHING_LOSSES or phase is not None:
            return problem  # controls climb losses of their own
        found = guides(self, loss, rows, getattr(config, "restarts", 1))
        return replace(problem, guides=found.to(self.job.device))

    def final_score(self) -> None:
        """Score the worst cases of a random target on fresh draws that chose nothing."""
        if not self.pipeline.random:
            return
        rows = self.ledger.settle()
        passes = len(rows) * scoring.passes(self, scoring.SCORING_DRAWS)
        self.observer.started("score on fresh draws", len(rows), passes)
        for block in torch.split(rows, self.block):
            scoring.score(self, self.ledger, block)
            self._advance()
        self.scored = True

    def interrupt(self, steps: list[Step]) -> None:
        """Write down what the rest of the plan did not do; worst cases keep the rate by which they were chosen."""
        if self.pipeline.random:
            self.ledger.settle()
        done = {record.name for record in self.records}
        for step in steps:
            if step.request.name not in done and step.runs:
                self.book(self._record(step, "interrupted", "the run ended before this attack was done"))

    def run(self, step: Step, rows: Tensor, record: AttackRecord | None = None) -> AttackRecord:
        """Attack the samples at `rows` in blocks; what earlier blocks found is kept whatever happens to a later one."""
        name, known = step.request.name, record is not None
        record = record or self._record(step, "ok" if len(rows) else "idle", step.reason)
        self.observer.started(name, len(rows), len(rows) * step.passes(self.job.x[0].numel()))
        before, started = self.meter.totals(), time.perf_counter()
        try:
            for block in torch.split(rows, self.block) if len(rows) else ():
                self._judge(record, step, block, self._proposals(step, block))
                self._advance()
        except NoGradientError as error:
            record.status, record.reason = "skipped", str(error)
        except NotApplicableError as error:
            record.status, record.reason = "not_applicable", str(error)
        except BudgetExhaustedError:
            record.status, record.reason = "starved", f"the budget of {self.job.budget:,} passes was spent"
        except KeyboardInterrupt:
            record.status, record.reason = "interrupted", "interrupted"
            raise
        except Exception as error:  # third-party code may raise anything; the evaluation goes on and cannot PASS
            self.lost(error, name)
            record.status, record.reason = "crashed", _line(error)
        finally:
            fit = self.trained.fits.get(step.gradient.label) if step.gradient is not None else None
            if fit is not None and fit.text not in record.reason:
                record.reason = f"{record.reason}; {fit.text}"
            after = self.meter.totals()
            record.forward += after.forward - before.forward
            record.backward += after.backward - before.backward
            record.seconds += time.perf_counter() - started
            record.robust_accuracy = self.ledger.share
            if not known:
                self.book(record)
        return record

    def _proposals(self, step: Step, rows: Tensor) -> Tensor:
        """What the attack proposes, on the CPU; of gradients of the target it is kept what they came to."""
        problem, config = self.problem(step, rows), step.request.config
        trace = Trace()
        if step.direct and isinstance(problem.target, LocalTarget):
            problem = replace(problem, target=replace(problem.target, trace=trace))
        try:
            return ATTACKS[config.attack].run(problem, config).cpu()
        finally:
            if trace.seen:
                self.pulses.setdefault(step.request.name, []).append(trace.pulse(rows))

    def would_fall(self, step: Step, rows: Tensor, record: AttackRecord) -> Tensor:
        """Which of these samples the step would have broken, (M,); the worst cases stay as they are.

        An attack that fails here has found nothing.
        """
        found, before = torch.zeros(len(rows), dtype=torch.bool), self.meter.totals()
        try:
            for part in torch.split(torch.arange(len(rows)), self.block):
                block = rows[part]
                z = self._proposals(step, block)
                if self.coordinates.grid:
                    z = fitted(self.ball.select(block), z, "nearest")
                valid = self.ball.select(block).contains(z)
                x = self.to_input(z, block)
                key, goal = f"again/{step.request.name}", self.goal(block)
                draws = scoring.CONFIRMATION_DRAWS
                seen = self.replay(x, block, goal, phase="replay", draws=draws, key=key, clean=False)
                found[part] = valid & (seen.rate < 0.5)
        except Exception as error:  # as in `run`
            self.lost(error, step.request.name)
        finally:
            after = self.meter.totals()
            record.forward += after.forward - before.forward
            record.backward += after.backward - before.backward
        return found

    def _judge(self, record: AttackRecord, step: Step, rows: Tensor, z: Tensor) -> None:
        """Replay proposals on the deployed model; only points inside ball and box count."""
        record.attempted += len(rows)
        self.ledger.attacked[rows] = True
        ball = self.ball.select(rows)
        valid = ball.contains(z)
        record.invalid += int((~valid).sum())
        rows, z, ball = rows[valid], z[valid], ball.select(valid)
        if len(rows) == 0:
            return
        stood = self.ledger.rate[rows] >= 0.5
        fell = self.take(rows, z, step.request.name)
        record.broken += fell
        if step.blackbox:
            self.blackbox_falls += fell
            if not self.gradients_left:
                self.only[rows[stood & (self.ledger.rate[rows] < 0.5)]] = True

    def take(self, rows: Tensor, z: Tensor, by: str, *, phase: Phase = "replay") -> int:
        """Replay points z (M, ...) that lie in ball and box and keep the worst cases; returns how many samples fell.

        No sample may occur twice. Where only grid points count, z is moved to the grid first, in several ways.
        """
        if not self.coordinates.grid:
            return self._taken(rows, z, by, phase)
        fell, ball = 0, self.ball.select(rows)
        done = torch.full_like(z, torch.nan)
        for rounding in ROUNDINGS:
            points = fitted(ball, z, rounding)
            new = (points != done).flatten(1).any(dim=1) & (self.ledger.rate[rows] > 0)
            if rounding == "nearest":
                new, done = torch.ones_like(new), points
            if bool(new.any()):
                fell += self._taken(rows[new], points[new], by, phase)
        return fell

    def _taken(self, rows: Tensor, z: Tensor, by: str, phase: Phase) -> int:
        x = self.to_input(z, rows)
        seen = scoring.selected(self, self.ledger, x, rows, by, phase=phase)
        distance = self.ball.select(rows).distances(z)
        fell = self.ledger.record(rows, x, distance, seen.rate, seen.score, seen.label, by)
        if self.ledger.refusals is not None:
            self.ledger.refusals.see(rows, x, seen, self.goal(rows), self.pipeline.threshold)
        return fell

    def lost(self, error: Exception, during: str) -> None:
        """Nothing can go on without its device.

        Raises:
            UnfinishedError: the error says that the device was lost.
        """
        if _device_lost(error):
            text = f"the device was lost during {during}: {_line(error)}; run again on a working device"
            raise UnfinishedError(text) from error

    def _record(self, step: Step, status: AttackStatus, reason: str) -> AttackRecord:
        return AttackRecord(
            name=step.request.name,
            attack=step.request.config.attack,
            gradient=None
            if step.blackbox or step.gradient is None
            else step.gradient.label + (f", {step.draws} draws" if step.draws > 1 else ""),
            status=status,
            reason=reason,
        )

    def book(self, record: AttackRecord) -> None:
        """Write down what an attack did, and tell the observer."""
        if record.robust_accuracy is None:
            record.robust_accuracy = self.ledger.share
        self.records.append(record)
        self.observer.finished(record)

    def _advance(self) -> None:
        self.observer.advanced(int(self.ledger.standing.sum()), self.ledger.share)

    def _check_classes(self, values: Tensor, what: str) -> None:
        bad = ((values < 0) | (values >= self.classes)).nonzero().flatten()
        if len(bad):
            first = int(bad[0])
            raise DataError(
                f"sample {int(self.ids[first])} has the {what} {int(values[first])}, but the model has {self.classes} "
                "classes, counted from 0; check the labels"
            )

    def _classes(self) -> int:
        known = self.pipeline.classifier.info.classes
        if known:
            return known
        self.meter.count("controls", torch.zeros(1, dtype=torch.int64), forward=1)
        return self.pipeline.classifier.logits(self.seen(torch.zeros(1, dtype=torch.int64))).shape[1]


def _device_lost(error: Exception) -> bool:
    text = str(error)
    return "CUDA error" in text and "out of memory" not in text


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
