"""Tiny models whose smallest adversarial perturbation is known in closed form: what an attack finds there is known."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..classifier import Forward, GradientKind
from ..decision import Goal
from ..geometry import Norm
from ..gradients import Exact
from ..model_info import ModelInfo, Twin
from ..pipeline import Pipeline
from ..randomness import Stream
from ..target import Problem
from ..threat import Ball
from .coordinates import Coordinates
from .local import LocalTarget
from .meter import Meter

SAMPLES = 8
SIDE = 8
_FEATURES = SIDE * SIDE
_CLASSES = 4
_APART: dict[Norm, float] = {"linf": 0.1, "l2": 0.5, "l1": 0.3}
"""About how far the boundary is; in L1 one feature has to have room for it."""
_HEIGHT, _NEVER = 5.0, 20.0
"""Logits: class 1 begins about the one below class 0, the other classes stay below by the other."""
_INFO = ModelInfo(name="toy", format="torch", classes=_CLASSES, twin=Twin(available=True))


@dataclass(frozen=True)
class Toy:
    """A sample is of class 1 as soon as every one of its sums w_g (x - 1/2) exceeds its bound, else of class 0.

    One sum is a linear model, several are a network of two layers whose gradient only ever shows the smallest of them.
    The sums look at features of their own each; classes 2 and 3 are never reached.
    """

    name: str
    weights: Tensor
    """(G, F); no feature has two weights."""
    bounds: Tensor
    """(G,)."""
    info: ModelInfo = field(default=_INFO)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (N, 4) at x (N, 1, 8, 8), differentiable."""
        least = self._excess(x).amin(dim=1)
        near = _HEIGHT * least / self.bounds.max()
        return torch.stack([torch.zeros_like(near), near, near * 0 - _NEVER, near * 0 - _NEVER - 1], dim=1)

    def logits(self, x: Tensor) -> Tensor:
        """The same without a gradient."""
        with torch.no_grad():
            return self(x)

    def differentiable(self, gradient: GradientKind = "exact") -> Forward:  # noqa: ARG002
        """The toy itself."""
        return self

    def distance(self, x: Tensor, norm: Norm) -> Tensor:
        """How far x (N, ...) is from class 1, (N,), where the box is wide enough.

        Every sum costs its lack over the dual norm of its weights; different features pay, so the costs add up as the
        norm has it.
        """
        lack = (-self._excess(x.double())).clamp(min=0)
        dual = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}[norm]
        cost = lack / torch.linalg.vector_norm(self.weights.double(), ord=dual, dim=1)
        whole: Tensor = torch.linalg.vector_norm(cost, ord={"linf": float("inf"), "l2": 2.0, "l1": 1.0}[norm], dim=1)
        return whole

    def _excess(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - 0.5) @ self.weights.T.to(x) - self.bounds.to(x)


def toys(norm: Norm) -> tuple[Toy, ...]:
    """A linear model and one of two layers, with boundaries at a fit distance for the norm."""
    stream = Stream.create(0, "toys", torch.zeros(1, dtype=torch.int64))
    weights = stream.signs(0, (_FEATURES,)) * stream.uniform(1, (_FEATURES,), 0.5, 1.5)
    half = (torch.arange(_FEATURES) % 2 == 0).float()
    halves = torch.cat([weights * half, weights * (1 - half)])
    return _toy("linear", weights, norm), _toy("two layers", halves, norm)


def _toy(name: str, weights: Tensor, norm: Norm) -> Toy:
    # The sums differ in what they lack, so that no attack takes them all at once by chance.
    shares = torch.linspace(1.0, 0.8, len(weights)) if len(weights) > 1 else torch.ones(1)
    dual = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}[norm]
    each = {"linf": 1.0, "l2": len(weights) ** -0.5, "l1": 1 / len(weights)}[norm]
    return Toy(name, weights, shares * each * _APART[norm] * torch.linalg.vector_norm(weights, ord=dual, dim=1))


def problem(toy: Toy, norm: Norm, share: float, seed: int, *, targeted: bool) -> Problem:
    """Eight samples around the middle of the box, each with a ball of `share` times its distance."""
    ids = torch.arange(SAMPLES)
    x = 0.5 + 0.02 * Stream.create(0, "toy samples", ids).uniform(0, (1, SIDE, SIDE), -1.0, 1.0)
    eps = (share * toy.distance(x, norm)).float()
    target = LocalTarget(
        pipeline=Pipeline(toy),
        coordinates=Coordinates.of_bounds((0.0, 1.0), x.dim(), "cpu"),
        rows=ids,
        stream=Stream.create(seed, "toy target", ids),
        meter=Meter(SAMPLES),
        phase="controls",
        batch=1024,
        classes=_CLASSES,
        device="cpu",
        estimator=Exact(),
        radius=eps,
    )
    zeros = torch.zeros(SAMPLES, dtype=torch.int64)
    goal = Goal(zeros, zeros + 1 if targeted else None)
    return Problem(x, goal, Ball.create(x, eps, norm), target, Stream.create(seed, "toy attack", ids))
