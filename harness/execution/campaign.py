"""The attacks of one evaluation, in order: who is attacked, on what target, and what the replay says."""

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..attacks import ATTACKS
from ..attacks.pgd import PGD
from ..attacks.transfer import Transfer
from ..decision import MATCHING_LOSSES
from ..diagnosis import Unbounded
from ..errors import DataError, NoGradientError, NotApplicableError, UnfinishedError
from ..planner import Step
from ..results import AttackRecord, AttackStatus, OperatingPoint, Phase
from ..target import Problem
from ..threat import Ball
from . import scoring
from .coordinates import Coordinates
from .guides import guides
from .job import Job
from .ledger import CLEAN, Ledger
from .meter import BudgetExhaustedError, Meter
from .observer import Observer
from .refusals import Refusals
from .scene import Scene, batch_size

CONTROL_SAMPLES = 32


@dataclass(kw_only=True)
class Campaign(Scene):
    """State of a running evaluation."""

    ledger: Ledger
    records: list[AttackRecord] = field(default_factory=list)
    blackbox_falls: int = 0
    """Samples that fell to a black-box attack."""
    blackbox_only: int = 0
    """Those of them that every gradient attack had been unable to break."""
    gradients_left: bool = False
    """Whether gradient attacks are still to come."""
    guidance: dict[str, Tensor] = field(default_factory=dict)
    """By matching loss, what the model says of the clean samples, (n, F)."""
    points: list[OperatingPoint] = field(default_factory=list)
    """Other thresholds of rejection, evaluated."""
    curve_attacks: list[AttackRecord] = field(default_factory=list)
    """What ran at further thresholds, for the detector's curve alone."""
    scored: bool = False
    """Whether every worst case of a random target has its score from fresh draws."""

    @classmethod
    def begin(cls, job: Job, observer: Observer) -> "Campaign":
        """Lay out attack space and the books."""
        if job.box is not None:
            coordinates = Coordinates.of_box(*job.box)
        else:
            coordinates = Coordinates.of_bounds(job.pipeline.classifier.info.bounds, job.x.dim(), "cpu")
        z = coordinates.from_input(job.x)
        reach = torch.maximum(z, 1 - z).flatten(1).amax(dim=1)
        eps = reach if job.eps is None else job.eps
        return cls(
            job=job,
            pipeline=job.pipeline,
            coordinates=coordinates,
            ball=Ball.create(z, eps, job.norm),
            ledger=Ledger(job.x),
            meter=Meter(len(job.x), job.budget, observer.passed),
            observer=observer,
            batch=job.batch or batch_size(job.x[0].numel(), job.device),
        )

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
            ledger.score[block], ledger.seen[block] = seen.score, True
            if seen.refused is not None:
                ledger.clean_refused[block] = seen.refused
            if ledger.refusals is not None:
                ledger.refusals.see_clean(block, seen, self.goal(block), self.pipeline.threshold)
            self._advance()
        self.observer.clean(float(self.ledger.clean_rate.mean()), self.classes, len(rows))

    def attack(self, steps: list[Step]) -> None:
        """Every step in order; limited black-box steps come back for all samples once one of them succeeded."""
        limited: list[tuple[Step, AttackRecord, Tensor]] = []
        for number, step in enumerate(steps):
            if not step.runs:
                status: AttackStatus = "skipped" if step.applies else "not_applicable"
                self._book(
                    AttackRecord(
                        name=step.request.name, attack=step.request.config.attack, status=status, reason=step.reason
                    )
                )
                continue
            escalated = step.blackbox and self.blackbox_falls > 0
            request = step.request
            rows = self.ledger.standing_rows(request.closest, request.at_least, None if escalated else request.samples)
            self.gradients_left = any(s.runs and not s.blackbox for s in steps[number + 1 :])
            record = self._run(step, rows)
            if step.blackbox and request.samples is not None and record.status == "ok":
                limited.append((step, record, rows))
            if self.blackbox_falls > 0:
                self._escalate(limited)
        self._advance()

    def _escalate(self, limited: list[tuple[Step, AttackRecord, Tensor]]) -> None:
        """Take the samples that limited black-box attacks left out."""
        while limited:
            step, record, done = limited.pop(0)
            rows = self.ledger.standing_rows()
            rest = rows[~torch.isin(rows, done)]
            if len(rest):
                self._run(step, rest, record)

    def problem(self, step: Step, rows: Tensor, *, phase: Phase | None = None, ball: Ball | None = None) -> Problem:
        """What `step` is asked about the samples at `rows`, with the samples that it may imitate."""
        problem, config = super().problem(step, rows, phase=phase, ball=ball), step.request.config
        loss = getattr(config, "loss", "")
        if loss not in MATCHING_LOSSES or phase is not None:
            return problem  # controls climb losses of their own
        found = guides(self, loss, rows, getattr(config, "restarts", 1))
        return replace(problem, guides=found.to(self.job.device))

    def unbounded(self, steps: list[Step]) -> Unbounded | None:
        """The gradient attack with the whole box to move in; it has to succeed. A per-feature box has no wider one."""
        step = next((s for s in steps if s.runs and not s.blackbox and s.gradient and _is_direct(s)), None)
        rows = self.spread(self.ledger.right.nonzero().squeeze(1), CONTROL_SAMPLES)
        if step is None or len(rows) == 0 or self.job.targets is not None or self.job.box is not None:
            return None
        config = PGD(loss="joint" if self.pipeline.rejects else "margin", steps=30, restarts=2)
        self.observer.started("control: unbounded", len(rows), len(rows) * step.draws * config.most_passes)
        wide = self.ball.select(rows)
        limit = {
            "linf": 1.0,
            "l2": wide.x[0].numel() ** 0.5,
            "l1": float(wide.x[0].numel()),
            "l0": float(wide.x[0].numel()),
        }
        ball = wide.with_eps(wide.eps * 0 + limit[self.job.norm])
        try:
            problem = self.problem(step, rows, phase="controls", ball=ball)
            inputs = self.to_input(ATTACKS["pgd"].run(problem, config).cpu(), rows)
            goal, draws = self.goal(rows), scoring.SELECTION_DRAWS
            seen = self.replay(inputs, rows, goal, phase="controls", draws=draws, key="unbounded", clean=False)
        except Exception:  # third-party code again: a control that cannot even run has failed
            return Unbounded(samples=len(rows), survived=len(rows))
        return Unbounded(samples=len(rows), survived=int((seen.rate >= 0.5).sum()))

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
                self._book(self._record(step, "interrupted", "the run ended before this attack was done"))

    def _run(self, step: Step, rows: Tensor, record: AttackRecord | None = None) -> AttackRecord:
        """Attack the samples at `rows` in blocks; what earlier blocks found is kept whatever happens to a later one."""
        name, config = step.request.name, step.request.config
        known = record is not None
        record = record or self._record(step, "ok" if len(rows) else "idle", step.reason)
        self.observer.started(name, len(rows), len(rows) * step.passes(self.job.x[0].numel()))
        before, started = self.meter.totals(), time.perf_counter()
        try:
            for block in torch.split(rows, self.block) if len(rows) else ():
                problem = self.problem(step, block)
                proposals = ATTACKS[config.attack].run(problem, config)
                self._judge(record, step, block, proposals.cpu())
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
            if _device_lost(error):
                raise UnfinishedError(
                    f"the device was lost during {name}: {_line(error)}; run again on a working device"
                ) from error
            record.status, record.reason = "crashed", _line(error)
        finally:
            fit = self.trained.fits.get(step.gradient.label) if step.gradient is not None else None
            if fit is not None and fit.text not in record.reason:
                record.reason = f"{record.reason}; {fit.text}"
            after = self.meter.totals()
            record.forward += after.forward - before.forward
            record.backward += after.backward - before.backward
            record.seconds += time.perf_counter() - started
            record.robust_accuracy = self.ledger.robust / len(self.job.x)
            if not known:
                self._book(record)
        return record

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
        x = self.to_input(z, rows)
        seen = scoring.selected(self, self.ledger, x, rows, step.request.name)
        fell = self.ledger.record(rows, x, ball.distances(z), seen.rate, seen.score, seen.label, step.request.name)
        record.broken += fell
        if self.ledger.refusals is not None:
            self.ledger.refusals.see(rows, x, seen, self.goal(rows), self.pipeline.threshold)
        if step.blackbox:
            self.blackbox_falls += fell
            self.blackbox_only += 0 if self.gradients_left else fell

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

    def _book(self, record: AttackRecord) -> None:
        if record.robust_accuracy is None:
            record.robust_accuracy = self.ledger.robust / len(self.job.x)
        self.records.append(record)
        self.observer.finished(record)

    def _advance(self) -> None:
        self.observer.advanced(int(self.ledger.standing.sum()), self.ledger.robust / len(self.job.x))

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


def _is_direct(step: Step) -> bool:
    return not isinstance(step.request.config, Transfer)


def _device_lost(error: Exception) -> bool:
    text = str(error)
    return "CUDA error" in text and "out of memory" not in text


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
