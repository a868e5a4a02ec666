"""A few questions before the first attack: is the model deterministic, is the twin the model, is the gradient alive?"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from ..classifier import Classifier
from ..decision import Goal, Objective
from ..diagnosis.records import Probe
from ..errors import RobcheckError
from ..randomness import Stream
from ..threat import Ball
from .local import LocalTarget
from .meter import Meter

SAMPLES = 32
_SINGLES = 4
RELATIVE_TOLERANCE = 1e-4


def probe_model(classifier: Classifier, x: Tensor, meter: Meter) -> Probe:
    """Ask about the first samples x (N, ...), in model units: twice, one by one, and through the twin."""
    x = x[:SAMPLES]
    rows = torch.arange(len(x))
    first = _ask(classifier, x, rows, meter)
    probe = Probe(
        samples=len(x),
        difference=_difference(first, _ask(classifier, x, rows, meter)),
        nan_outputs=int(first.isnan().any(dim=1).sum()),
    )
    some = min(_SINGLES, len(x))
    singles = [_ask(classifier, x[i : i + 1], rows[i : i + 1], meter) for i in range(some)]
    probe = replace(probe, batch_difference=_difference(first[:some], torch.cat(singles)))
    return _with_parity(probe, classifier, x, rows, first, meter)


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


def _ask(classifier: Classifier, x: Tensor, rows: Tensor, meter: Meter) -> Tensor:
    meter.count("controls", rows, forward=1)
    return classifier.logits(x).float().cpu()


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
    with torch.enable_grad():
        output = twin(x.detach().clone().requires_grad_(True))
    if not output.requires_grad:
        return replace(probe, cut_gradient="the output has no gradient (no_grad, detach or numpy inside the model)")
    if probe.difference > RELATIVE_TOLERANCE:
        # A model that does not agree with itself cannot agree with its twin.
        return probe
    answer = output.detach().float().cpu()
    usable = deployed.isfinite().all(dim=1)
    if not bool(usable.any()):
        return probe
    answer, deployed = answer[usable], deployed[usable]
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
