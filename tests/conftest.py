"""Models and problems that tests share; everything is made here or ships with scikit-learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.decision import Goal
from robcheck.harness.execution.coordinates import Coordinates
from robcheck.harness.execution.local import LocalTarget
from robcheck.harness.execution.meter import Meter
from robcheck.harness.geometry import Norm
from robcheck.harness.gradients import ESTIMATORS
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream
from robcheck.harness.target import Problem
from robcheck.harness.threat import Ball

torch.set_num_threads(1)


@dataclass
class PlainClassifier:
    """An nn.Module as a classifier, with nothing in between."""

    module: Callable[[Tensor], Tensor]
    info: ModelInfo = ModelInfo(name="plain", format="torch", twin=Twin(available=True))  # noqa: RUF009

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.module(x)

    def differentiable(self, gradient: str = "exact") -> Callable[[Tensor], Tensor]:  # noqa: ARG002
        return self.module


def problem_of(
    module: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: Norm = "linf",
    *,
    seed: int = 0,
    targets: Tensor | None = None,
    ids: Tensor | None = None,
    batch: int = 256,
    budget: int | None = None,
    lower: float = 0.0,
    upper: float = 1.0,
    stages: tuple[Any, ...] = (),
    gradient: Any = "exact",
    draws: int = 1,
    phase: str = "gradient",
) -> Problem:
    """The problem that an evaluation would hand to an attack; `problem.target.meter` counts."""
    ids = torch.arange(len(x)) if ids is None else ids
    classifier = PlainClassifier(module)
    target = LocalTarget(
        pipeline=Pipeline(classifier, stages),
        coordinates=Coordinates.of_bounds((0.0, 1.0), x.dim(), "cpu"),
        rows=torch.arange(len(x)),
        stream=Stream.create(seed, "target", ids),
        meter=Meter(len(x), budget),
        phase=phase,  # type: ignore[arg-type]
        batch=batch,
        classes=module(x[:1]).shape[1] if len(x) else 2,
        device="cpu",
        estimator=ESTIMATORS[gradient]() if isinstance(gradient, str) else gradient,  # type: ignore[index]
        draws=draws,
        radius=torch.as_tensor(eps, dtype=torch.float32).expand(len(x)),
    )
    ball = Ball.create(x, eps, norm, lower, upper)
    return Problem(x, Goal(y, targets), ball, target, Stream.create(seed, "attack", ids))


class Linear3(nn.Module):
    """A linear model of 3 classes whose minimal perturbation is known in closed form."""

    def __init__(self, features: int = 12, classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(classes, features, generator=generator), requires_grad=False)
        self.bias = nn.Parameter(torch.randn(classes, generator=generator) * 0.1, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias

    def closest(self, x: Tensor, y: Tensor, norm: Norm) -> Tensor:
        """The distance to the nearest wrong class without a box, |margin| / dual norm of the weight difference."""
        logits = self(x)
        best = torch.full((len(x),), float("inf"))
        for j in range(len(self.weight)):
            difference = self.weight[j] - self.weight[y]
            margin = logits.gather(1, y[:, None])[:, 0] - logits[:, j]
            dual = {"linf": 1, "l2": 2, "l1": float("inf")}[norm]
            size = torch.linalg.vector_norm(difference, ord=dual, dim=1)
            best = torch.where(y == j, best, torch.minimum(best, margin / size.clamp(min=1e-12)))
        return best


@pytest.fixture
def make_problem() -> Callable[..., Problem]:
    return problem_of


@pytest.fixture
def linear() -> Linear3:
    return Linear3()
