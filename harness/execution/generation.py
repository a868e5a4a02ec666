"""The stage of a pipeline that declares a generator, as an attack on its codes sees it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import NoGradientError
from ..pipeline import Pipeline
from ..stage import Generative

if TYPE_CHECKING:
    from .local import LocalTarget


@dataclass(frozen=True)
class LocalGenerator:
    """Stage number `number` of a target's pipeline; see `harness.target.Generator`."""

    target: "LocalTarget"
    number: int

    @property
    def behind(self) -> "LocalTarget":
        """The target without this stage and those in front of it."""
        pipeline = self.target.pipeline
        rest = replace(pipeline, stages=pipeline.stages[self.number + 1 :])
        return replace(self.target, pipeline=rest, source=None, draws=self.target.draws if rest.random else 1)

    def codes(self, x: Tensor, step: int) -> Tensor:
        """Codes (N, D) of points x (N, ...): the stages in front as deployed, then the stage's own search."""
        target, pipeline = self.target, self.target.pipeline
        front = replace(pipeline, stages=pipeline.stages[: self.number], detector=None)
        stage, low, high = self._stage, *pipeline.classifier.info.bounds
        found = []
        for start in range(0, len(x), target.batch):
            rows = target.rows[start : start + target.batch]
            stream = target.stream.select(rows).child(f"{target.phase}/codes/{step}")
            with torch.no_grad():
                seen = front.staged(target.inputs(x[start : start + target.batch], rows), stream)
                draws = stream.child(f"{self.number}/{pipeline.stages[self.number].label}")
                found.append(stage.latent((seen - low) / (high - low), draws).detach())
        return torch.cat(found)

    def images(self, z: Tensor) -> Tensor:
        """The points of attack space that the codes z (N, D) stand for, differentiable."""
        low, high = self.target.pipeline.classifier.info.bounds
        inputs = self._stage.generate(z) * (high - low) + low
        return self.target.coordinates.select(self.target.rows).from_input(inputs)

    @property
    def _stage(self) -> Generative:
        stage = self.target.pipeline.stages[self.number]
        assert isinstance(stage, Generative)
        return stage


def generative_stage(pipeline: Pipeline) -> int:
    """The position of the first stage that declares a generator.

    Raises:
        NoGradientError: there is none.
    """
    for number, stage in enumerate(pipeline.stages):
        if isinstance(stage, Generative):
            return number
    raise NoGradientError("no stage declares a generator whose codes could be searched")
