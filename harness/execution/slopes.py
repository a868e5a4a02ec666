"""The gradient of the twin in float64 against central differences."""

from dataclasses import replace

import torch
from torch import Tensor

from ..classifier import Classifier, DoubleTwin, Forward
from ..diagnosis import Probe
from ..randomness import Stream
from .coordinates import Coordinates
from .meter import Meter
from .probe import first_line

STEPS = (1e-7, 1e-6, 1e-8, 1e-5, 1e-4, 1e-3)
"""Of the width of the bounds, most promising first; the best counts: large steps meet kinks, small ones rounding.

A residual network of ReLUs on 3 x 96 x 96 pixels is off by 4 % at 1e-6, because a few kinks lie on the way, and by less
than a millionth at 1e-7."""
GOOD = 1e-3
"""Relative error at which no other step is tried."""
_SMALL, _LARGE, _BIG_INPUT = 4, 8, 4096
_NOTHING = 1e-7
"""A slope below this share of the largest logit, per width of the bounds, is no slope."""


def with_slopes(probe: Probe, classifier: Classifier, z: Tensor, coordinates: Coordinates, meter: Meter) -> Probe:
    """The probe with the relative error of one directional derivative at a point near each of the first z (N, ...).

    The points keep away from the walls and from the samples themselves, where equal pixels tie in a pooling window. A
    random direction of signs, a random projection of the logits.
    """
    if probe.no_gradient or probe.cut_gradient:
        return replace(probe, slopes_unchecked="there is no gradient")
    if probe.random:
        return replace(probe, slopes_unchecked="the model is random, so two answers differ anyway")
    twin = classifier.double() if isinstance(classifier, DoubleTwin) else None
    if twin is None or len(z) == 0:
        return probe
    count = min(len(z), _SMALL if z[0].numel() > _BIG_INPUT else _LARGE)
    stream = Stream.create(0, "slopes", torch.arange(count, device=z.device))
    shape = tuple(z.shape[1:])
    points = 0.02 + 0.96 * z[:count].double() + 0.01 * stream.uniform(0, shape, -1.0, 1.0).double()
    sign = stream.signs(1, shape).double()
    rows = torch.arange(count)

    def value(at: Tensor) -> Tensor:
        logits = _through(twin, coordinates.select(rows.to(z.device)), at)
        weights = stream.normal(2, (logits.shape[1],)).to(logits)
        return (weights * logits).sum(dim=1)

    try:
        errors = _errors(value, points, sign, rows, meter)
    except Exception as error:  # third-party code, in a number format that it was not made for
        return replace(probe, slopes_unchecked=f"the model does not run in float64 ({first_line(error)})")
    errors = errors[~errors.isnan()]
    why = "" if len(errors) else "around every sample the exact model is flat, without a gradient or not finite"
    return replace(probe, slope_errors=tuple(errors.tolist()), slopes_unchecked=why)


def _through(twin: Forward, coordinates: Coordinates, z: Tensor) -> Tensor:
    logits = twin(coordinates.offset.double() + coordinates.scale.double() * z)
    if logits.dtype != torch.float64:
        raise TypeError(f"its answers are {str(logits.dtype).removeprefix('torch.')}")
    return logits


def _errors(value: Forward, points: Tensor, sign: Tensor, rows: Tensor, meter: Meter) -> Tensor:
    """Relative error of <gradient, sign> at the best step, (N,); NaN where the model is flat or not finite."""
    meter.count("controls", rows, forward=1, backward=1)
    with torch.enable_grad():
        at = points.clone().requires_grad_(True)
        height = value(at)
        path = height.requires_grad
        gradient = torch.autograd.grad(height.sum(), [at], allow_unused=True)[0] if path else None
    if gradient is None:
        return torch.full_like(height, torch.nan)
    slope = (gradient * sign).flatten(1).sum(dim=1)
    best, steep = torch.full_like(slope, torch.inf), torch.zeros_like(slope, dtype=torch.bool)
    usable = height.detach().isfinite()
    floor = _NOTHING * torch.where(usable, height.detach(), 0.0).abs().max()
    for step in STEPS:
        meter.count("controls", rows, forward=2)
        with torch.no_grad():
            difference = (value(points + step * sign) - value(points - step * sign)) / (2 * step)
        steep |= torch.maximum(slope.abs(), difference.abs()) > floor
        size = torch.maximum(torch.maximum(slope.abs(), difference.abs()), floor).clamp(min=1e-300)
        best = torch.minimum(best, ((slope - difference).abs() / size).nan_to_num(torch.inf, torch.inf))
        if bool((best[usable] <= GOOD).all()):
            break
    return torch.where(usable & steep, best, torch.nan)
