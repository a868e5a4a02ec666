"""A few questions before the first attack: is the model deterministic, is the twin the model, is the gradient alive?"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from ..classifier import Classifier
from ..decision import Goal, Objective
from ..diagnosis.records import Probe
from ..errors import RobcheckError
from ..model_info import OutputKind
from ..randomness import Stream
from ..threat import Ball
from .local import LocalTarget
from .meter import Meter

SAMPLES = 32
RELATIVE_TOLERANCE = 1e-4
_LEAST_LOG = -87.0
"""Below e^-87 a float32 probability is zero or denormal."""


class Asker:
    """Asks about the first samples x (N, ...) of the data set, in model units, and remembers the answers."""

    def __init__(self, classifier: Classifier, x: Tensor, meter: Meter) -> None:
        self.classifier, self.x, self.meter = classifier, x[:SAMPLES], meter
        self.rows = torch.arange(len(self.x))
        self.first: Tensor | None = None

    def probe(self, batch: int) -> Probe:
        """Twice, in a batch as large as attacks will use, one by one, and through the twin."""
        self.first = first = self._ask(self.rows)
        crowd = self._ask(self.rows.repeat(max(1, -(-batch // len(self.rows))))[: max(batch, len(self.rows))])
        singles = torch.cat([self._ask(row) for row in torch.split(self.rows, 1)])
        probe = Probe(
            samples=len(self.x),
            difference=_difference(first, self._ask(self.rows)),
            batch_difference=max(_difference(first, singles), _difference(first, crowd[: len(first)])),
            nan_outputs=int(first.isnan().any(dim=1).sum()),
        )
        return _with_parity(probe, self.classifier, self.x, self.rows, first, self.meter)

    def drift(self) -> float:
        """How far the answers have moved since `probe`; inf when the model does not answer any more."""
        if self.first is None:
            return 0.0
        try:
            return _difference(self.first, self._ask(self.rows))
        except Exception:  # third-party code may raise anything, and a model that fails now has changed
            return float("inf")

    def _ask(self, rows: Tensor) -> Tensor:
        self.meter.count("controls", rows, forward=1)
        return self.classifier.logits(self.x[rows.to(self.x.device)]).float().cpu()


def probe_gradient(probe: Probe, target: LocalTarget, ball: Ball, goal: Goal, stream: Stream) -> Probe:
    """Ask for the margin gradient at one random point of each ball."""
    try:
        answer = target.gradient(ball.random_start(stream, 0), Objective("margin", goal), 0)
    except RobcheckError as error:
        return replace(probe, gradient_error=str(error))
    except Exception as error:  # the twin runs third-party graphs: whatever it raises is a finding, not a crash
        return replace(
            probe, gradient_error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
    size = answer.gradient.flatten(1).abs().sum(dim=1)
    dead = ~(size.isfinite() & (size > 0))
    return replace(probe, dead_gradients=int(dead.sum()), gradient_samples=len(dead))


def _difference(a: Tensor, b: Tensor) -> float:
    """Largest L2 distance between normalised outputs, NaN apart."""
    a, b = functional.normalize(a.nan_to_num(0.0), dim=1), functional.normalize(b.nan_to_num(0.0), dim=1)
    return float((a - b).norm(dim=1).max()) if len(a) else 0.0


def _with_parity(
    probe: Probe, classifier: Classifier, x: Tensor, rows: Tensor, deployed: Tensor, meter: Meter
) -> Probe:
    twin = classifier.differentiable()
    if twin is None:
        return probe
    meter.count("controls", rows, forward=1)
    try:
        with torch.enable_grad():
            output = twin(x.detach().clone().requires_grad_(True))
    except Exception as error:  # the twin runs third-party graphs
        return replace(probe, cut_gradient=f"the twin fails on these samples ({str(error).partition(chr(10))[0]})")
    if not output.requires_grad:
        return replace(probe, cut_gradient="the output has no gradient (no_grad, detach or numpy inside the model)")
    if probe.difference > RELATIVE_TOLERANCE:
        # A model that does not agree with itself cannot agree with its twin.
        return probe
    answer = output.detach().float().cpu()
    usable = deployed.isfinite().all(dim=1)
    if not bool(usable.any()):
        return probe
    answer, deployed = (_comparable(t[usable], classifier.info.output) for t in (answer, deployed))
    scale = float(deployed.abs().max())
    tolerance = RELATIVE_TOLERANCE * max(scale, 1.0)
    top = deployed.topk(2, dim=1).values
    clear = top[:, 0] - top[:, 1] > 2 * tolerance
    return replace(
        probe,
        parity=float((answer - deployed).abs().max()),
        scale=scale,
        twin_disagrees=int(((answer.argmax(dim=1) != deployed.argmax(dim=1)) & clear).sum()),
    )


def _comparable(scores: Tensor, output: OutputKind) -> Tensor:
    """What twin and deployed model have to agree on: logits, log-probabilities that float32 can hold, or the label."""
    if output == "labels":
        return functional.one_hot(scores.argmax(dim=1), scores.shape[1]).to(scores.dtype)
    if output == "logits":
        return scores
    return functional.log_softmax(scores, dim=1).clamp(min=_LEAST_LOG)
