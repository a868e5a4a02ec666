"""What the attacks and the judge of one evaluation work on: samples, ball, target, streams, surrogate."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..attacks import ATTACKS
from ..attacks.transfer import Transfer
from ..decision import Goal
from ..geometry import per_sample
from ..gradients import Distilled, Exact, Reparameterised
from ..pipeline import Pipeline
from ..planner import Step
from ..randomness import Stream
from ..results import Phase
from ..target import Problem
from ..threat import Ball
from .coordinates import Coordinates
from .job import Job
from .local import LocalTarget
from .meter import Meter
from .observer import Observer
from .replay import Replay
from .trained import Trained

_BLOCK_NUMBERS = 1 << 21


@dataclass(kw_only=True)
class Scene:
    """One data set in attack space, and everybody who may be asked about it."""

    job: Job
    pipeline: Pipeline
    coordinates: Coordinates
    ball: Ball
    meter: Meter
    observer: Observer
    batch: int
    classes: int = 0
    slack: float = 0.0
    """How much twin and deployed model may differ, in logits."""

    @property
    def ids(self) -> Tensor:
        """Names of the samples, the keys of their randomness."""
        return torch.arange(len(self.job.x)) if self.job.ids is None else self.job.ids

    @property
    def replay(self) -> Replay:
        """The judge."""
        stream = Stream.create(self.job.seed, "replay", self.ids.to(self.job.device))
        return Replay(self.pipeline, stream, self.meter, self.batch, self.job.device)

    def inputs(self, rows: Tensor) -> Tensor:
        """The samples at `rows` as the model takes them."""
        return self.job.x[rows].to(self.job.device)

    def seen(self, rows: Tensor) -> Tensor:
        """The same samples as the classifier gets them, behind the stages in front of it."""
        stream = Stream.create(self.job.seed, "seen", self.ids[rows].to(self.job.device))
        with torch.no_grad():
            return self.pipeline.staged(self.inputs(rows), stream)

    def spread(self, rows: Tensor, count: int) -> Tensor:
        """`count` of the rows, in order; their names choose, so that data that come sorted are met everywhere."""
        keys = Stream.create(0, "spread", self.ids[rows]).keys
        return rows[keys.argsort(stable=True)[:count]].sort().values

    def to_input(self, z: Tensor, rows: Tensor) -> Tensor:
        """Model input for points z of attack space (M, ...), for the samples at `rows`."""
        return self.coordinates.select(rows).to_input(z)

    def goal(self, rows: Tensor) -> Goal:
        """The goals of the samples at `rows`, on the CPU."""
        return Goal(self.job.y, self.job.targets).select(rows)

    def problem(self, step: Step, rows: Tensor, *, phase: Phase | None = None, ball: Ball | None = None) -> Problem:
        """What `step` is asked about the samples at `rows`, on the device."""
        device = self.job.device
        ball = self.ball.select(rows) if ball is None else ball
        ball = ball.to(device)
        goal = self.goal(rows).to(device)
        stream = Stream.create(self.job.seed, f"attack/{step.request.name}", self.ids[rows].to(device))
        return Problem(ball.x, goal, ball, self.target(step, rows, phase=phase), stream)

    def target(self, step: Step, rows: Tensor, *, phase: Phase | None = None) -> LocalTarget:
        """The target as `step` may question it."""
        device, config = self.job.device, step.request.config
        pipeline, meter, slack, source = self.pipeline, self.meter, self.slack, None
        if isinstance(config, Transfer):
            # A point that breaks the source proves nothing, so no answer counts as broken and the climb goes on.
            slack = float("inf")
            pipeline = Pipeline(self.pipeline.classifier)
            if config.source != "twin":
                trained = self.trained
                model = trained.surrogate() if config.source == "surrogate" else trained.student(Distilled())
                pipeline, meter = Pipeline(model), Meter(len(self.job.x))
        elif isinstance(step.gradient, Distilled):
            source = Pipeline(self.trained.student(step.gradient))
        return LocalTarget(
            pipeline=pipeline,
            coordinates=self.coordinates.to(device),
            rows=rows.to(device),
            stream=Stream.create(self.job.seed, f"target/{step.request.name}", self.ids.to(device)),
            meter=meter,
            phase=phase or ("blackbox" if step.blackbox else "gradient"),
            batch=self.batch,
            classes=self.classes,
            device=device,
            estimator=Exact() if isinstance(config, Transfer) and config.source == "student" else step.gradient,
            draws=step.draws,
            votes=ATTACKS[config.attack].needs == "decisions",
            radius=self.radius.to(device),
            nets=self.trained.nets(step.gradient) if isinstance(step.gradient, Reparameterised) else {},
            source=source,
            features=getattr(config, "loss", "") == "match-features",
            slack=slack,
        )

    @property
    def radius(self) -> Tensor:
        """The ball's radius per feature in attack space, (n,): of other norms than Linf that of a spread-out change."""
        power = {"linf": 0.0, "l2": 0.5, "l1": 1.0, "l0": 1.0}[self.job.norm]
        radius: Tensor = self.ball.eps / self.job.x[0].numel() ** power
        return radius

    @cached_property
    def trained(self) -> Trained:
        """The networks that attacks on this target are crafted on, each trained when it is first needed."""
        return Trained(
            job=self.job,
            pipeline=self.pipeline,
            classes=self.classes,
            reach=self.coordinates.scale * per_sample(self.radius, self.job.x),
            meter=self.meter,
            batch=self.batch,
            observer=self.observer,
        )

    @property
    def block(self) -> int:
        """Samples that an attack takes at a time: bounds its memory, and what an interrupt can lose."""
        return max(8, min(1024, _BLOCK_NUMBERS // self.job.x[0].numel()))


def batch_size(numbers: int, device: str) -> int:
    """Rows per model call: small enough for a CPU's caches, large enough to fill a GPU."""
    if device.startswith("cuda"):
        return max(32, min(4096, (1 << 26) // numbers))
    return max(32, min(1024, (1 << 17) // numbers))
