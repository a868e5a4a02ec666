"""What a control experiment works with: samples, attacks of its own, and the worst case that its breaks count in."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..attacks import ATTACKS, AnyAttack
from ..attacks.transfer import Transfer
from ..errors import NotApplicableError
from ..pipeline import Pipeline
from ..planner import Step
from ..request import Request
from ..target import Problem
from ..threat import Ball
from . import scoring
from .campaign import Campaign
from .local import Head
from .scene import Scene
from .trace import Trace

SAMPLES = 32
"""That a control looks at unless it says otherwise. Half-width of a 95 % interval: 17 points at worst."""


FEWEST = 8
AFFORDABLE = 10
"""Passes behind one gradient up to which all of them are looked at."""


@dataclass(frozen=True)
class Tried:
    """What an attack of a control came to, for the samples at `rows` (M,), on the CPU."""

    rows: Tensor
    points: Tensor
    """Of attack space (M, ...)."""
    fell: Tensor
    """Wrong on at least half of the draws of the deployed model, (M,)."""
    score: Tensor
    """How far beyond the boundary, in logits, (M,)."""
    trace: Trace

    @property
    def share(self) -> float:
        """How many fell."""
        return float(self.fell.double().mean()) if len(self.fell) else 0.0


@dataclass(frozen=True)
class Left:
    """The worst cases that the plan found, for all samples, before any control looked for worse ones."""

    rate: Tensor
    score: Tensor
    x: Tensor

    @classmethod
    def by(cls, campaign: Campaign) -> "Left":
        """What the books say now."""
        ledger = campaign.ledger
        return cls(ledger.rate.clone(), ledger.score.clone(), ledger.x.clone())


@dataclass
class Lab:
    """One control experiment on a finished campaign."""

    campaign: Campaign
    steps: Sequence[Step]
    """The plan, what was added while it ran included."""
    name: str
    plan: Left
    """What it left, whatever experiments before this one have found."""
    fell: int = 0
    """Samples that newly fell to points of this experiment."""
    looked: set[int] = field(default_factory=set)

    @property
    def direct(self) -> list[Step]:
        """The entries that climb gradients of the target itself."""
        found = [s for s in self.steps if s.runs and s.gradient is not None and not s.blackbox]
        return [s for s in found if not isinstance(s.request.config, Transfer)]

    @property
    def main(self) -> Step:
        """The first of them, or the first on the gradient that the run went on with; its gradient and draws speak for
        the plan.

        Raises:
            NotApplicableError: there is none.
        """
        if not self.direct:
            raise NotApplicableError("no attack of the plan climbs a gradient of the target")
        gone_on = [s for s in self.direct if s.gradient is not None and s.gradient.label == self.campaign.escalated]
        return next(iter([*gone_on, *self.direct]))

    def right(self, count: int | None = None) -> Tensor:
        """Positions of samples that are right when clean and have room to move, spread over the data, fixed by their
        names.

        Raises:
            NotApplicableError: there is none.
        """
        return self._some(self.campaign.ledger.right, count, "is right when clean and has room to move")

    def standing(self, count: int | None = None) -> Tensor:
        """The same of samples that no attack has broken.

        Raises:
            NotApplicableError: there is none.
        """
        ledger = self.campaign.ledger
        return self._some(ledger.right & (ledger.rate >= 0.5), count, "stands")

    def left(self, count: int | None = None) -> Tensor:
        """The same of samples that the plan did not break, whether or not another experiment has done so since.

        Raises:
            NotApplicableError: there is none.
        """
        return self._some(self.campaign.ledger.right & (self.plan.rate >= 0.5), count, "was left standing by the plan")

    def attack(
        self,
        config: AnyAttack,
        rows: Tensor,
        *,
        key: str,
        step: Step | None = None,
        ball: Ball | None = None,
        pipeline: Pipeline | None = None,
    ) -> Tried:
        """Run one attack on the samples at `rows` and ask the deployed model about what it found.

        Points inside the threat model's ball are breaks like any other and count in the worst case.

        Args:
            key: tells the random draws of this attack from those of others of the same experiment.
            step: whose gradient and draws it uses; those of `main` unless given (None for attacks without gradients
                works too).
            ball: instead of the threat model's, one per row.
            pipeline: another target on the same samples; nothing counts then.
        """
        scene: Scene = self.campaign if pipeline is None else replace(self._bare_scene(), pipeline=pipeline)
        trace, points = Trace(), []
        for start in range(0, len(rows), scene.block):
            part = torch.arange(start, min(start + scene.block, len(rows)))
            problem = self.problem(
                config,
                rows[part],
                key=key,
                step=step,
                ball=None if ball is None else ball.select(part),
                scene=scene,
                trace=trace,
            )
            points.append(ATTACKS[config.attack].run(problem, config).cpu())
        return self.judged(rows, torch.cat(points), key=key, trace=trace, scene=scene)

    def problem(
        self,
        config: AnyAttack,
        rows: Tensor,
        *,
        key: str,
        step: Step | None = None,
        ball: Ball | None = None,
        scene: Scene | None = None,
        trace: Trace | None = None,
        head: Head | None = None,
        classes: int = 0,
    ) -> Problem:
        """What `attack` asks; `head` asks another question of the same model, which has `classes` answers."""
        scene = scene or self.campaign
        needs = ATTACKS[config.attack].needs
        model = step or (self.main if needs == "gradients" else None)
        gradient = model.gradient if model is not None and needs == "gradients" else None
        draws = model.draws if model is not None else 1
        request = Request(name=f"control/{self.name}/{key}", config=config)
        own = Step(request, True, True, gradient, draws, "")
        found = Scene.problem(scene, own, rows, phase="controls", ball=ball)
        target = scene.target(own, rows, phase="controls")
        return replace(
            found,
            target=replace(target, trace=trace, head=head, classes=classes or target.classes),
        )

    def judged(
        self, rows: Tensor, points: Tensor, *, key: str, trace: Trace | None = None, scene: Scene | None = None
    ) -> Tried:
        """What the deployed model says of points (M, ...) of attack space for the samples at `rows` (M,)."""
        scene = scene or self.campaign
        self.looked.update(rows.tolist())
        inputs, goal = scene.to_input(points, rows), scene.goal(rows)
        seen = scene.replay(
            inputs, rows, goal, phase="controls", draws=scoring.SELECTION_DRAWS, key=f"{self.name}/{key}", clean=False
        )
        if scene is self.campaign:
            self._count(rows, points, seen.rate)
        return Tried(rows, points, seen.rate < 0.5, seen.score, trace or Trace())

    def _count(self, rows: Tensor, points: Tensor, rate: Tensor) -> None:
        """A break inside the ball is a break, whoever found it; several points of one sample are taken one by one."""
        ledger = self.campaign.ledger
        inside = self.campaign.ball.select(rows).contains(points)
        worse = (inside & (rate < ledger.rate[rows]) & ledger.attackable[rows]).nonzero().squeeze(1)
        while len(worse):
            first = _first_of_each(rows[worse])
            chosen, worse = worse[first], worse[~first]
            self.fell += self.campaign.take(rows[chosen], points[chosen], f"control: {self.name}", phase="controls")

    def _bare_scene(self) -> Scene:
        """The campaign's samples without its books."""
        c = self.campaign
        return Scene(
            job=c.job,
            pipeline=c.pipeline,
            coordinates=c.coordinates,
            ball=c.ball,
            meter=c.meter,
            observer=c.observer,
            batch=c.batch,
            classes=c.classes,
            slack=c.slack,
        )

    @property
    def samples(self) -> int:
        """How many a control looks at: fewer where a single gradient is the mean of many passes."""
        if not self.direct or self.campaign.job.controls == "full":
            return SAMPLES
        step = self.main
        assert step.gradient is not None
        each = (
            step.draws * step.gradient.neighbours + step.gradient.queries(self.campaign.job.x[0].numel()) * step.draws
        )
        return max(FEWEST, min(SAMPLES, SAMPLES * AFFORDABLE // max(1, each)))

    def _some(self, mask: Tensor, count: int | None, what: str) -> Tensor:
        count = self.samples if count is None else count
        rows = self.campaign.spread((mask & (self.campaign.ball.eps > 0)).nonzero().squeeze(1), count)
        if len(rows) == 0:
            raise NotApplicableError(f"no sample {what}")
        return rows


def _first_of_each(rows: Tensor) -> Tensor:
    """Which of the positions (M,) occur for the first time, (M,)."""
    earlier = (rows[:, None] == rows[None, :]).tril(diagonal=-1)
    return ~earlier.any(dim=1)
