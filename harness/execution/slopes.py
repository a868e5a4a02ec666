"""The gradient of the exact twin against differences: in float64, else in float32; of random twins at equal draws."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..classifier import Classifier, DoubleTwin, Forward
from ..diagnosis import Probe
from ..diagnosis.limits import COARSE_SLOPE, limit
from ..randomness import Stream
from .coordinates import Coordinates
from .differences import Slopes, coarse, fine, slope_along
from .meter import Meter
from .probe import first_line

_SMALL, _LARGE, _BIG_INPUT = 4, 32, 4096
"""Samples of large and of small inputs; a gradient may be wrong on a share of the samples only."""
_NO_TWIN = "the model offers no twin in float64"
_DRAWS = "the model is random, and its draws cannot be repeated to compare two answers"


@dataclass(frozen=True)
class _Question:
    """Points (N, ...) of attack space near samples, a direction, and how they are asked about."""

    points: Tensor
    sign: Tensor
    stream: Stream
    coordinates: Coordinates
    meter: Meter
    rows: Tensor

    def value(self, forward: Forward) -> Forward:
        """A random projection of the logits of what takes inputs in units of the model, (N,)."""

        def projected(at: Tensor) -> Tensor:
            logits = forward(self.coordinates.offset.to(at.dtype) + self.coordinates.scale.to(at.dtype) * at)
            if logits.dtype != at.dtype:
                raise TypeError(f"its answers are {str(logits.dtype).removeprefix('torch.')}")
            return (self.stream.normal(2, (logits.shape[1],)).to(logits) * logits).sum(dim=1)

        return projected

    def passed(self, forward: int, backward: int = 0) -> None:
        """Book passes."""
        self.meter.count("controls", self.rows, forward=forward, backward=backward)


def with_slopes(
    probe: Probe, classifier: Classifier, z: Tensor, coordinates: Coordinates, meter: Meter, rows: Tensor | None = None
) -> Probe:
    """The probe with the relative error of one directional derivative at a point near each of the first z (N, ...).

    The points keep away from the walls and from the samples themselves, where equal pixels tie in a pooling window. A
    random direction of signs, a random projection of the logits. `coordinates` are those of the z, `rows` where they
    are in the data set.
    """
    if probe.no_gradient or probe.cut_gradient:
        return replace(probe, slopes_unchecked="there is no gradient")
    if len(z) == 0:
        return probe
    question = _question(z, coordinates, meter, torch.arange(len(z)) if rows is None else rows)
    try:
        found, why = _in_double(classifier, question, random=probe.random)
    except Exception as error:  # third-party code, in a number format that it was not made for
        found, why = None, f"the model does not run in float64 ({first_line(error)})"
    largest = limit("WRONG_GRADIENT").threshold
    if found is None and not probe.random:
        found, why, largest = *_in_single(classifier, question, why), COARSE_SLOPE
    if found is None:
        return replace(probe, slopes_unchecked=why)
    known = ~found.error.isnan()
    suspects = known & (found.error > largest) & ~found.flat
    return replace(
        probe,
        slope_errors=tuple(found.error[known].tolist()),
        slopes_unchecked="" if bool(known.any()) else why,
        slope_limit=largest,
        unexplained=_unexplained(classifier, question, suspects),
    )


def _question(z: Tensor, coordinates: Coordinates, meter: Meter, rows: Tensor) -> _Question:
    count = min(len(z), _SMALL if z[0].numel() > _BIG_INPUT else _LARGE)
    stream, shape = Stream.create(0, "slopes", torch.arange(count, device=z.device)), tuple(z.shape[1:])
    points = 0.02 + 0.96 * z[:count].double() + 0.01 * stream.uniform(0, shape, -1.0, 1.0).double()
    chosen = coordinates.select(torch.arange(count, device=z.device))
    return _Question(points, stream.signs(1, shape).double(), stream, chosen, meter, rows[:count])


def _in_double(classifier: Classifier, question: _Question, *, random: bool) -> tuple[Slopes | None, str]:
    twin = classifier.double() if isinstance(classifier, DoubleTwin) else None
    if twin is None or not isinstance(classifier, DoubleTwin):
        return None, _DRAWS if random else _NO_TWIN
    value = question.value(_fresh(classifier) if random else twin)
    if random:
        question.passed(2)
        with torch.no_grad():
            first, second = value(question.points), value(question.points)
        if not torch.equal(first.nan_to_num(), second.nan_to_num()):
            return None, _DRAWS
    question.passed(1, 1)
    found = fine(value, question.points, question.sign, question.passed)
    return found, "around every sample the exact model is flat, without a gradient or not finite"


def _fresh(classifier: DoubleTwin) -> Forward:
    """A new twin for every question: each begins with the same draws."""

    def forward(x: Tensor) -> Tensor:
        twin = classifier.double()
        if twin is None:
            raise TypeError("there is no second twin")
        return twin(x)

    return forward


def _in_single(classifier: Classifier, question: _Question, why: str) -> tuple[Slopes | None, str]:
    """In float32, where a longer step has to do, and not every network is straight over one."""
    twin = classifier.differentiable("exact")
    if twin is None:
        return None, why
    question.passed(1, 1)
    try:
        found = coarse(question.value(twin), question.points.float(), question.sign.float(), question.passed)
    except Exception as error:  # third-party code again
        return None, f"{why}, nor near the samples ({first_line(error)})"
    return found, f"{why}, and float32 is too coarse to tell"


def _unexplained(classifier: Classifier, question: _Question, suspects: Tensor) -> int:
    """On how many of the suspects no stand-in changes the gradient, so that no obstacle can have made it wrong."""
    if not bool(suspects.any()) or not classifier.info.obstacles:
        return int(suspects.sum())
    points, sign = question.points.float(), question.sign.float()

    def slope(kind: str) -> Tensor | None:
        forward = classifier.differentiable("bpda" if kind == "bpda" else "exact")
        question.passed(1, 1)
        return None if forward is None else slope_along(question.value(forward), points, sign)[1]

    try:
        exact, again, soft = slope("exact"), slope("exact"), slope("bpda")
    except Exception:  # third-party code; a failing gradient has findings of its own
        return 0
    if exact is None or again is None or soft is None:
        return 0
    # Two gradients of a random model differ by chance.
    chance = 2 * (exact - again).abs() + limit("WRONG_GRADIENT").threshold * torch.maximum(exact.abs(), soft.abs())
    return int((suspects.to(exact.device) & ((soft - exact).abs() <= chance)).sum())
