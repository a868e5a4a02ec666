"""Adversarial examples planted at three difficulties, and who finds them.

The entries of the plan search one after the other, each for what the earlier ones did not find; found is what the
deployed model itself confirms at a point inside the ball.

Source: after Zimmermann et al. 2022, "Increasing confidence in adversarial robustness evaluations"; see `planting`.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ...attacks import ATTACKS, AnyAttack
from ...attacks.fgsm import FGSM
from ...attacks.pgd import PGD
from ...diagnosis.low_power import LEVELS, Level, Power
from ...errors import NotApplicableError
from ...planner import Step
from ...rule import Rule
from ...target import Problem
from ..answers import LEAST
from ..frozen import Frozen
from ..lab import Lab
from ..planting import CANDIDATES, Planted, goal, pattern, plant
from ..questioning import coarsest
from ..scene import Scene
from .entries import searching

_ONE_STEP = FGSM(loss="margin")


def planted(lab: Lab) -> Power:
    """What the plan finds, what a single step finds, and what as many random points find."""
    if lab.campaign.job.norm == "l0":
        raise NotApplicableError("which few features lead to a point is a riddle that no gradient solves")
    if lab.campaign.pipeline.classifier.info.output == "labels":
        raise NotApplicableError("the model gives labels alone: nothing lies between them that could be found")
    entries, scene, rows = searching(lab), _scene(lab), lab.right()
    target = scene.target(entries[0], rows, phase="controls")
    if coarsest(target) > float(lab.campaign.radius[rows].amax()):
        raise NotApplicableError("pixels are rounded more coarsely than the radius: where they jump is a riddle")
    lab.looked.update(rows.tolist())
    found = _plant(lab, scene, entries[0], rows)
    levels = [_level(lab, scene, entries, found, name, share) for name, share in LEVELS.items()]
    if not any(level.planted for level in levels):
        raise NotApplicableError("the scores have so few values that none can be told from its neighbours")
    return Power(len(rows), tuple(levels), tuple(step.request.name for step in entries))


def _scene(lab: Lab) -> Scene:
    """The evaluation's own, with one draw for everything where the target is random."""
    campaign, pipeline = lab.campaign, lab.campaign.pipeline
    if not pipeline.random:
        return campaign
    if pipeline.noisy_classifier:
        raise NotApplicableError("the classifier itself draws random numbers, which nobody outside can hold fixed")
    scene = Scene(**{each.name: getattr(campaign, each.name) for each in fields(Scene)})
    scene.pipeline = replace(Frozen.of(pipeline), rule=Rule())
    scene.trained = campaign.trained
    return scene


def _plant(lab: Lab, scene: Scene, step: Step, rows: Tensor) -> Planted:
    problem = lab.problem(PGD(), rows, key="plant", step=step, scene=scene)
    info = scene.pipeline.classifier.info
    floor = math.log(max(info.twin.floor, LEAST)) if info.output in ("probabilities", "log-probabilities") else None
    found = plant(problem, rows, info.twin.step or 0.0, scene.slack, floor)
    if len(found.rows) == 0:
        raise NotApplicableError("no point that was tried moves the scores of the model")
    return found


def _level(lab: Lab, scene: Scene, entries: list[Step], found: Planted, name: str, share: float) -> Level:
    """One difficulty, for the samples whose scores are fine enough for it."""
    fine = found.select((share * found.way > found.smallest).nonzero().squeeze(1))
    search = _Search(lab, scene, fine, share, name)
    fine = search.found = fine.select(search.confirmed().nonzero().squeeze(1))
    standing = torch.ones(len(fine.rows), dtype=torch.bool, device=fine.rows.device)
    for step in entries:
        left = standing.nonzero().squeeze(1)
        standing[left] = ~search(step.request.config, step, left, step.request.name)
    everyone = torch.arange(len(fine.rows), device=fine.rows.device)
    single = torch.zeros_like(standing)
    if entries[0].gradient is not None:
        single = search(_ONE_STEP, entries[0], everyone, "one step")
    return Level(name, len(fine.rows), int((~standing).sum()), int(single.sum()), int(search.by_chance().sum()))


@dataclass
class _Search:
    """One level: what is planted where, and the question asked about it."""

    lab: Lab
    scene: Scene
    found: Planted
    share: float
    name: str

    def __call__(self, config: AnyAttack, step: Step, index: Tensor, key: str) -> Tensor:
        """For which of the samples at `index` (M,) the attack finds what is planted, (M,)."""
        if len(index) == 0:
            return torch.zeros(0, dtype=torch.bool, device=index.device)
        problem = self._problem(config, step, index, key)
        return _hit(problem, ATTACKS[config.attack].run(problem, config))

    def confirmed(self) -> Tensor:
        """Where the planted point itself is an answer, asked once more by itself."""
        everyone = torch.arange(len(self.found.rows), device=self.found.rows.device)
        return _hit(self._problem(_ONE_STEP, None, everyone, "planted"), self.found.points)

    def by_chance(self) -> Tensor:
        """Where one of as many other random points as were tried for planting is an answer."""
        everyone = torch.arange(len(self.found.rows), device=self.found.rows.device)
        problem = self._problem(_ONE_STEP, None, everyone, "chance")
        hit = torch.zeros_like(everyone, dtype=torch.bool)
        for number in range(CANDIDATES):
            hit |= _hit(problem, pattern(problem.ball, problem.stream, number))
        return hit

    def _problem(self, config: AnyAttack, step: Step | None, index: Tensor, key: str) -> Problem:
        part, job = self.found.select(index), self.scene.job
        problem = self.lab.problem(
            config,
            part.rows.cpu(),
            key=f"{self.name}/{key}",
            step=None if step is None else replace(step, draws=1),
            scene=self.scene,
            head=self.found.head(self.share, len(job.x)),
            classes=2,
        )
        return replace(problem, goal=goal(len(index), targeted=job.targets is not None, device=job.device))


def _hit(problem: Problem, points: Tensor) -> Tensor:
    """Which points (M, ...) are inside their balls and answers in the eyes of the deployed model, (M,)."""
    if len(points) == 0:
        return torch.zeros(0, dtype=torch.bool, device=points.device)
    return problem.goal.broken(problem.target.decide(points, 0)) & problem.ball.contains(points)
